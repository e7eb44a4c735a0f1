// The page of `nlmeans view`: it asks the program that serves it for pieces of the picture.
const MOST = 1e6;  // pixels of the piece that is denoised at once
const SLOW = 500;  // milliseconds from which a piece that is no longer wanted is given up

function showLive(data) {
  const state = { picture: data.picture, phase: "", whole: "", done: 0 };
  const viewer = new Viewer(1, 1, () => refresh());
  let apart = null;  // whether differences of colours are filtered apart, once that is known
  let shown = null;  // the piece that is on the screen
  let busy = null, again = false, took = 0;
  $("controls").hidden = false;
  $("picture-control").hidden = data.names.length < 2;
  data.names.forEach((name, n) => $("picture").add(new Option(name, n)));
  $("picture").value = data.picture;
  showCommand("");

  const say = (text, bad = false) => {
    $("status").textContent = text;
    $("status").classList.toggle("bad", bad);
  };
  const wrong = (error) => { if (error.name !== "AbortError") say(error.message, true); };
  const wish = () => ({
    method: $("method").value,
    strength: Number($("strength").value),
    differences: Number($(apart === false ? "strength" : "differences").value),
    blend: Number($("blend").value),
    sigma: $("sigma").value === "" ? null : Number($("sigma").value),
  });
  const key = () => JSON.stringify([state.picture, wish()]);
  const side = () => $("show-removed").getAttribute("aria-pressed") === "true" ? "removed" : "clean";

  // A reply is JSON; pictures come behind it, each so many bytes as it says.
  async function ask(name, body = {}, signal = undefined) {
    const reply = await fetch(name, {
      method: "POST", signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ picture: state.picture, ...body }),
    });
    const bytes = await reply.arrayBuffer(), length = new DataView(bytes).getUint32(0);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    if (!reply.ok) throw new Error(told.error || reply.statusText);
    if (told.cancelled) throw new DOMException("", "AbortError");
    let start = 4 + length;
    told.pictures = told.lengths.map((size) => {
      const image = new Blob([new Uint8Array(bytes, start, size)], { type: "image/bmp" });
      start += size;
      return URL.createObjectURL(image);
    });
    return told;
  }
  const addresses = {};  // those in use, by where, to be given back
  async function place(where, name, address, at, framed = false) {
    const image = viewer.place(where, name, address, at.left, at.top, at.width, at.height, framed);
    const old = addresses[`${where} ${name}`];
    addresses[`${where} ${name}`] = address;
    await image.decode().catch(() => {});
    if (old && !Object.values(addresses).includes(old)) URL.revokeObjectURL(old);
    return image;
  }

  // Of what is seen, as much as is done at once: its middle.
  function piece() {
    const view = viewer.view, factor = Math.min(1, Math.sqrt(MOST / (view.width * view.height)));
    const width = Math.max(1, Math.floor(view.width * factor)), height = Math.max(1, Math.floor(view.height * factor));
    return {
      left: view.left + Math.floor((view.width - width) / 2), top: view.top + Math.floor((view.height - height) / 2),
      width, height, framed: factor < 1,
    };
  }

  async function refresh() {
    if (state.phase !== "ready") return;
    if (busy && took < SLOW) { again = true; return; }
    busy?.abort();
    const own = busy = new AbortController(), began = performance.now(), asked = wish(), now = key();
    const at = piece();
    again = false;
    $("stage").setAttribute("aria-busy", "true");
    try {
      if (state.whole !== now) dropWhole(); else if (!covering) showWhole();
      const known = Boolean(shown) && ["left", "top", "width", "height"].every((name) => shown.at[name] === at[name]);
      const told = await ask("crop", { ...at, framed: undefined, side: side(), wish: asked, known }, own.signal);
      if (own.signal.aborted) return;
      const [clean, noisy] = told.pictures;
      const images = await Promise.all([
        known ? shown.images[0] : place("before", "piece", noisy, at),
        place("after", "piece", clean, at, at.framed && state.whole !== now),
      ]);
      images[0].alt = "The noisy picture";
      images[1].alt = side() === "removed" ? "What was removed" : "The denoised picture";
      viewer.name(side() === "removed" ? "removed" : "denoised");
      shown = { at, images, key: now };
      describe(told);
      took = performance.now() - began;
      requestAnimationFrame(() => setTimeout(() => {  // it has been painted
        document.body.dataset.shown = Number(document.body.dataset.shown || 0) + 1;
      }));
      clearTimeout(later);
      later = setTimeout(details, 250);
    } catch (error) {
      wrong(error);
    } finally {
      if (busy === own) {
        busy = null;
        $("stage").removeAttribute("aria-busy");
        if (again) refresh();
      }
    }
  }

  function describe(told) {
    $("summary").textContent = told.summary;
    $("sigma").placeholder = told.sigma;
    apart = told.apart;
    $("differences-control").hidden = !apart;
    $("strength-label").textContent = told.apart ? "Strength of brightness" : "Strength";
    showWarnings([...new Set([...state.warnings, ...told.warnings])]);
    showTable(told.table);
    showCommand(told.command);
    if ($("status").classList.contains("bad")) say("");
  }

  // What is below the picture is computed once the hand rests.
  let later = 0, marked = null;
  async function details() {
    const now = shown;
    if (!now || busy) return;
    try {
      const told = await ask("removed", { wish: JSON.parse(now.key)[1] });
      if (shown !== now) return;
      showRemoved(told);
      if (side() === "clean") showPlaces(now.images[1], now.images[0], [now.at.left, now.at.top]);
      const { width, height } = now.at;
      await askWeights(...(marked || [Math.floor(width / 2), Math.floor(height / 2)]));
    } catch (error) {
      wrong(error);
    }
  }
  async function askWeights(x, y) {
    const now = shown;
    if (!now) return;
    try {
      const told = await ask("weights", { x: clamp(x, 0, now.at.width - 1), y: clamp(y, 0, now.at.height - 1), wish: JSON.parse(now.key)[1] });
      if (shown !== now) return;
      Object.assign(weights, { marked: told.marked ? [told.marked] : [], chosen: 0 });
      drawPlaces();
      drawWeights();
    } catch (error) {
      wrong(error);
    }
  }
  weights.ask = (x, y) => { marked = [x, y]; askWeights(x, y); };

  // --- the whole picture ---

  let covering = null;  // what covers the whole picture, right of the line: a piece lies on it
  function cover(where, address) {
    return place(where, "whole", address, { left: 0, top: 0, width: state.width, height: state.height });
  }
  let noisyWhole = "";
  function dropWhole() {
    if (covering && noisyWhole) cover("after", noisyWhole);
    covering = null;
  }
  async function showWhole() {
    try {
      const told = await ask("overview", { side: side(), wish: wish() });
      if (state.whole !== key()) return;
      covering = told.pictures[0];
      cover("after", covering);
      refresh();
    } catch (error) {
      wrong(error);
    }
  }

  // Nothing of another picture stays under the name of this one.
  function clear() {
    $("title").textContent = state.title;
    document.title = `${state.title} - nlmeans view`;
    $("summary").textContent = "";
    busy?.abort();
    shown = marked = covering = apart = null;
    noisyWhole = "";
    showWarnings([]);
    showCommand("");
    for (const where of ["before", "after"]) for (const name of ["whole", "piece"]) viewer.remove(where, name);
  }

  async function begin() {
    $("summary").textContent = state.summary;
    $("save").title = `as ${state.target}`;
    showWarnings(state.warnings);
    viewer.resize(state.width, state.height);
    if (viewer.scale * viewer.fine < 1) viewer.one();  // of a large picture the middle, pixel for pixel
    refresh();
    const told = await ask("overview", { side: "noisy", wish: wish() });
    noisyWhole = told.pictures[0];
    cover("before", noisyWhole);
    if (!covering) cover("after", noisyWhole);
  }

  // --- controls ---

  // As the command line has them, also beyond what a slider usually has.
  const begun = () => Object.entries(data.given).forEach(([name, value]) => {
    if ($(name).type === "range") $(name).max = Math.max($(name).max, value);
    $(name).value = value;
  });

  const values = () => {
    for (const name of ["strength", "differences"]) $(`${name}-value`).textContent = Number($(name).value).toFixed(2);
    $("blend-value").textContent = `${Math.round(100 * $("blend").value)} %`;
  };
  for (const name of ["strength", "differences", "blend", "method", "sigma"]) $(name).addEventListener("input", () => {
    values();
    if ($("sigma").validity.valid) refresh();
  });
  $("restore").addEventListener("click", () => {
    $("controls").reset();
    $("picture").value = state.picture;
    begun();
    values();
    refresh();
  });
  $("show-removed").addEventListener("click", (event) => {
    const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", on);
    if (covering) showWhole(); else refresh();
  });
  const act = (name, body) => ask(name, body).catch(wrong);
  $("whole").addEventListener("click", () => act("whole", { wish: wish(), key: key() }));
  $("save").addEventListener("click", () => act("save", { wish: wish() }));
  $("cancel").addEventListener("click", () => act("cancel"));
  $("picture").addEventListener("change", () => act("open", { picture: Number($("picture").value) }));
  $("controls").addEventListener("submit", (event) => event.preventDefault());

  function update(next) {
    const before = { ...state };
    Object.assign(state, next);
    if (state.picture !== before.picture || !before.phase) clear();
    if (state.phase === "reading") say(`Reading ${state.title} ...`);
    if (state.phase === "failed") say(state.error, true);
    if (state.phase === "ready" && (before.phase !== "ready" || before.picture !== state.picture)) { say(""); begin(); }
    for (const name of ["whole", "save"]) $(name).disabled = state.phase !== "ready" || Boolean(state.work);
    $("work").hidden = !state.work;
    if (state.work) {
      $("progress").value = state.work.fraction;
      if (!before.work) say(state.work.words);
    }
    if (state.done > before.done) say(state.message, state.failed);
    if (state.whole !== before.whole && state.whole === key()) showWhole();
  }
  const events = new EventSource("events");
  events.onmessage = (event) => update(JSON.parse(event.data));
  events.onerror = () => {
    if (events.readyState === EventSource.CONNECTING && state.phase === "ready") say("The program does not answer: it may have been stopped.", true);
  };
  events.onopen = () => { if ($("status").classList.contains("bad") && state.phase === "ready") say(""); };
  begun();
  values();
}
