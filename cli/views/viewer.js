"use strict";
const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// Two layers of placed images that are moved and zoomed as one, and a line between them.  All that it
// knows of the picture is its size; whoever owns the images places them, in pixels of the picture.
class Viewer {
  constructor(width, height, moved) {
    this.stage = $("stage");
    this.layers = { before: $("before-layer"), after: $("after-layer") };
    this.images = { before: new Map(), after: new Map() };
    this.moved = moved;  // told where the view is, after it has come to rest
    this.at = 50;
    this.only = "";  // "before" or "after" where one of them is shown alone
    this.pointers = new Map();
    this.listen();
    this.resize(width, height);
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.stage.style.setProperty("--ratio", clamp(width / height, 0.5, 4));
    this.fit();
  }

  // --- images ---

  place(side, name, source, left, top, width, height, framed = false) {
    let image = this.images[side].get(name);
    if (!image) {
      image = new Image();
      image.alt = "";
      image.draggable = false;
      this.images[side].set(name, image);
      this.layers[side].append(image);
    }
    image.src = source;
    image.classList.toggle("framed", framed);
    for (const [key, value] of Object.entries({ left, top, width, height })) image.style[key] = `${value}px`;
    return image;
  }

  remove(side, name) {
    this.images[side].get(name)?.remove();
    this.images[side].delete(name);
  }

  // --- where the picture is ---

  get fine() { return window.devicePixelRatio || 1; }
  get box() { return this.stage.getBoundingClientRect(); }
  fitting() {
    const { width, height } = this.box;
    return Math.min(width / this.width, height / this.height, 8 / this.fine);
  }
  fit() { this.fitted = true; this.set(this.fitting(), 0, 0); }
  one() { this.zoom(1 / this.fine / this.scale); }

  // The part of the picture that is seen, in its whole pixels.
  get view() {
    const { width, height } = this.box;
    const left = clamp(Math.floor(-this.x / this.scale), 0, this.width - 1);
    const top = clamp(Math.floor(-this.y / this.scale), 0, this.height - 1);
    return {
      left, top,
      width: clamp(Math.ceil((width - this.x) / this.scale), left + 1, this.width) - left,
      height: clamp(Math.ceil((height - this.y) / this.scale), top + 1, this.height) - top,
    };
  }

  set(scale, x, y) {
    const { width, height } = this.box, across = this.width * scale, down = this.height * scale;
    this.scale = scale;
    this.x = across <= width ? (width - across) / 2 : clamp(x, width - across, 0);
    this.y = down <= height ? (height - down) / 2 : clamp(y, height - down, 0);
    for (const layer of Object.values(this.layers)) {
      layer.style.transform = `translate(${this.x}px, ${this.y}px) scale(${scale})`;
      layer.style.setProperty("--scale", scale);
    }
    this.stage.classList.toggle("large", scale * this.fine >= 2);
    $("percent").textContent = `${Math.round(100 * scale * this.fine)} %`;
    this.draw();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.moved?.(this.view), 80);
  }

  pan(x, y) { this.fitted = false; this.set(this.scale, this.x + x, this.y + y); }

  // Zooms about a point of the window, which stays where it is; about the middle without one.
  zoom(factor, clientX, clientY) {
    const { left, top, width, height } = this.box;
    const x = (clientX ?? left + width / 2) - left, y = (clientY ?? top + height / 2) - top;
    const scale = clamp(this.scale * factor, Math.min(this.fitting(), 1 / this.fine), 32);
    const by = scale / this.scale;
    this.fitted = false;
    this.set(scale, x - (x - this.x) * by, y - (y - this.y) * by);
  }

  // --- the line ---

  // It goes from the left to the right edge of what is seen of the picture.
  draw() {
    const { width } = this.box;
    const left = clamp(this.x, 0, width), right = clamp(this.x + this.width * this.scale, 0, width);
    const at = { before: 100, after: 0 }[this.only] ?? this.at;
    this.stage.style.setProperty("--cut", `${left + (right - left) * at / 100}px`);
    for (const side of ["before", "after"]) this.stage.classList.toggle(`whole-${side}`, this.only === side);
    const line = $("divider"), right_ = $("right").textContent;
    line.setAttribute("aria-valuenow", Math.round(at));
    line.setAttribute("aria-valuetext", `noisy ${Math.round(at)} %, ${right_} ${Math.round(100 - at)} %`);
    $("before").style.visibility = at === 0 ? "hidden" : "";
    $("after").style.visibility = at === 100 ? "hidden" : "";
  }

  divide(at) { this.only = ""; this.at = clamp(at, 0, 100); this.draw(); }
  flip() { this.only = this.only === "after" ? "before" : "after"; this.draw(); }
  name(right) { $("right").textContent = right; this.draw(); }

  follow(clientX) {
    const { left, width } = this.box;
    const first = clamp(this.x, 0, width), last = clamp(this.x + this.width * this.scale, 0, width);
    this.divide(100 * (clientX - left - first) / Math.max(1, last - first));
  }

  // --- hands ---

  listen() {
    const { stage } = this, line = $("divider");
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode ? 20 : 1;
      this.zoom(Math.exp(-clamp(event.deltaY * lines, -400, 400) / 400), event.clientX, event.clientY);
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      this.dragging = event.target === line ? "line" : "picture";
      stage.classList.toggle("grabbed", this.dragging === "picture");
    });
    stage.addEventListener("pointermove", (event) => {
      const last = this.pointers.get(event.pointerId);
      if (!last) return;
      const now = [event.clientX, event.clientY];
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      this.pointers.set(event.pointerId, now);
      if (other) {
        const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
        this.zoom(apart(now) / apart(last), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else if (this.dragging === "line") this.follow(event.clientX);
      else this.pan(now[0] - last[0], now[1] - last[1]);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) stage.addEventListener(name, (event) => {
      this.pointers.delete(event.pointerId);
      stage.classList.remove("grabbed");
    });
    stage.addEventListener("dblclick", (event) => this.follow(event.clientX));
    line.addEventListener("keydown", (event) => {
      const by = event.shiftKey ? 10 : 1;
      const at = {
        ArrowLeft: this.at - by, ArrowDown: this.at - by, ArrowRight: this.at + by, ArrowUp: this.at + by,
        PageDown: this.at - 10, PageUp: this.at + 10, Home: 0, End: 100,
      }[event.key];
      if (at === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.divide(at);
    });
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = {
        ArrowLeft: () => this.pan(60, 0), ArrowRight: () => this.pan(-60, 0),
        ArrowUp: () => this.pan(0, 60), ArrowDown: () => this.pan(0, -60),
        "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8),
        0: () => this.fit(), 1: () => this.one(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    $("in").addEventListener("click", () => this.zoom(1.25));
    $("out").addEventListener("click", () => this.zoom(0.8));
    $("fit").addEventListener("click", () => this.fit());
    $("one").addEventListener("click", () => this.one());
    $("flip").addEventListener("click", () => this.flip());
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
      if (event.key === "f" || event.key === "F") this.flip();
      if (event.key === "r" || event.key === "R") $("show-removed").click();
    });
    new ResizeObserver(() => this.fitted ? this.fit() : this.set(this.scale, this.x, this.y)).observe(stage);
  }
}
