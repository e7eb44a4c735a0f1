// What stands below the picture: what was removed, the weights of a pixel, the parameters, warnings.
const lit = () => matchMedia("(prefers-color-scheme: dark)").matches ? ["#ddd", "#4db2ea"] : ["#222", "#0a6fa8"];

function showList(list, texts) {
  list.replaceChildren(...texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}
function showWarnings(texts) {
  showList($("warnings").querySelector("ul"), texts);
  $("warnings").hidden = !texts.length;
}

function showTable(rows) {
  const body = $("table").tBodies[0];
  body.replaceChildren();
  for (const [name, value] of rows) {
    const row = body.insertRow(), head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    row.insertCell().textContent = value;
  }
}

function showCommand(text) {
  $("again").textContent = text;
  $("copy").textContent = "Copy";
}
$("copy").addEventListener("click", () => {
  getSelection().selectAllChildren($("again"));
  const copied = () => { $("copy").textContent = "Copied"; };
  if (navigator.clipboard) navigator.clipboard.writeText($("again").textContent).then(copied, () => {});
  else if (document.execCommand("copy")) copied();
});

// A small plot: lines over a horizontal axis with a few numbers.
function plot(canvas, { x, y, lines, bars, across, up, labels = [[], []], dots = [] }) {
  const g = canvas.getContext("2d"), fine = devicePixelRatio || 1, w = canvas.clientWidth || 440, h = canvas.clientHeight || 240;
  const [ink, accent] = lit();
  canvas.width = w * fine;
  canvas.height = h * fine;
  g.scale(fine, fine);
  const low = h - 40, left = 58;
  const px = (v) => left + (v - x[0]) / (x[1] - x[0]) * (w - left - 8);
  const py = (v) => low - (v - y[0]) / (y[1] - y[0]) * (low - 8);
  g.font = "12px system-ui, sans-serif";
  g.fillStyle = g.strokeStyle = ink;
  g.textAlign = "center";
  x.slice(2).forEach((tick, n) => {
    const text = labels[0][n] ?? tick, half = g.measureText(text).width / 2;
    g.fillText(text, Math.min(px(tick), w - half - 1), low + 16);
  });
  g.fillText(across, (left + w) / 2, h - 6);
  g.save();
  g.rotate(-Math.PI / 2);
  g.fillText(up, -low / 2, 12);
  g.restore();
  g.textAlign = "right";
  y.slice(2).forEach((tick, n) => g.fillText(labels[1][n] ?? tick, left - 4, py(tick) + 4));
  g.globalAlpha = 0.3;
  g.strokeRect(left, 8, w - left - 8, low - 8);
  g.globalAlpha = 1;
  if (bars) {
    g.fillStyle = accent;
    const width = Math.max(1, px(x[0] + bars.step) - px(x[0]) - 0.5);
    bars.heights.forEach((v, n) => g.fillRect(px(bars.start + n * bars.step), py(v), width, low - py(v)));
  }
  for (const { points, colour } of dots) {
    g.fillStyle = colour || accent;
    for (const [a, b] of points) { g.beginPath(); g.arc(px(a), py(b), 3, 0, 7); g.fill(); }
  }
  for (const line of lines) {
    g.strokeStyle = line.colour || (line.accent ? accent : ink);
    g.setLineDash(line.dash || []);
    g.lineWidth = 1.5;
    g.beginPath();
    line.points.forEach(([a, b], n) => n ? g.lineTo(px(a), py(b)) : g.moveTo(px(a), py(b)));
    g.stroke();
  }
  g.setLineDash([]);
}

const CHANNELS = ["#d1495b", "#2f9e44", "#4c8dff"];  // seen on white and on black
// What was removed: `found` has removed, histogram and radial, and images of the first and of its spectrum;
// the report's has the curve of the noise too.
let removed = null;
function showRemoved(found) {
  removed = found;
  for (const name of ["removed", "spectrum"]) {
    $(name).src = found.images[name];
    $(name).hidden = false;
  }
  $("removed-caption").textContent = found.removed.caption;
  $("histogram-caption").textContent = found.histogram.caption;
  $("curve-figure").hidden = !found.curve;
  $("curve-caption").textContent = found.curve ? found.curve.caption : "";
  $("verdict").textContent = found.removed.verdict;
  showList($("known"), found.removed.known);
  drawPlots();
}
function drawPlots() {
  if (!removed) return;
  // What clipping makes of one value, a spike, is cut off: the bell is what is looked at.
  const bell = Math.max(...removed.histogram.bell.map((p) => p[1])), { bars } = removed.histogram;
  const highest = 1.1 * Math.max(bell, Math.min(2 * bell, Math.max(...bars.heights)));
  plot($("histogram"), {
    x: [-4, 4, -4, -2, 0, 2, 4], y: [0, highest], across: "removed, in noise levels", up: "how often",
    bars: { ...bars, heights: bars.heights.map((v) => Math.min(v, highest)) },
    lines: [{ points: removed.histogram.bell, dash: [5, 4] }],
  });
  plot($("radial"), {
    x: [0, 0.5, 0, 0.25, 0.5], y: [-30, 10, -30, -20, -10, 0, 10], across: "frequency, cycles per pixel", up: "power, dB",
    lines: [{ points: [[0, 0], [0.5, 0]], dash: [5, 4] }, { points: removed.radial, accent: true }],
  });
  if (removed.curve) {
    const { channels, x, y, labels } = removed.curve, colours = channels.length === 3 ? CHANNELS : [];
    plot($("curve"), {
      x, y, labels, across: "brightness", up: "variance of the noise",
      lines: channels.map(({ line }, n) => ({ points: line, colour: colours[n] })),
      dots: channels.map(({ points }, n) => ({ points, colour: colours[n] })),
    });
  }
}
addEventListener("resize", drawPlots);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPlots);

// Weights: a picture with marked pixels, and of one of them the weights around it, one byte each (square
// root, 255 is the largest).  Pixels count from the corner of what is shown; `offset` is where that lies.
const weights = { marked: [], chosen: 0, picture: null, noisy: null, offset: [0, 0], ask: null };
function showPlaces(clean, noisy, offset) {
  Object.assign(weights, { picture: clean, noisy, offset });
  const places = $("places");
  places.width = clean.naturalWidth;
  places.height = clean.naturalHeight;
  drawPlaces();
  drawWeights();
}
function drawPlaces() {
  const places = $("places"), g = places.getContext("2d"), size = Math.max(2, places.width / 220);
  if (!weights.picture) return;
  g.drawImage(weights.picture, 0, 0);
  weights.marked.forEach((v, n) => {
    g.fillStyle = n === weights.chosen ? "#ff2d2d" : "#fff";
    g.strokeStyle = "#000";
    g.beginPath();
    g.arc(v.x + 0.5, v.y + 0.5, n === weights.chosen ? 2 * size : size, 0, 7);
    g.fill();
    g.stroke();
  });
}
const heat = (f) => [0, 1, 2].map((n) => 255 * clamp(3 * f - n, 0, 1));
function drawWeights() {
  const v = weights.marked[weights.chosen], panel = $("weights");
  $("weights-section").hidden = !v;
  if (!v || !weights.noisy) return;
  const bytes = Uint8Array.from(atob(v.weights), (c) => c.charCodeAt(0));
  const small = document.createElement("canvas");
  small.width = v.width;
  small.height = v.height;
  const s = small.getContext("2d"), g = panel.getContext("2d"), side = panel.height;
  const factor = Math.min(side / v.width, side / v.height);
  g.clearRect(0, 0, panel.width, panel.height);
  g.imageSmoothingEnabled = false;
  const place = (left) => {
    g.drawImage(small, left, 0, v.width * factor, v.height * factor);
    g.strokeStyle = "#00c8ff";
    g.lineWidth = 2;
    g.strokeRect(left + (v.x - v.left) * factor, (v.y - v.top) * factor, factor, factor);
  };
  s.drawImage(weights.noisy, v.left, v.top, v.width, v.height, 0, 0, v.width, v.height);
  place(0);
  const pixels = s.createImageData(v.width, v.height);
  bytes.forEach((byte, n) => pixels.data.set([...heat(byte / 255), 255], 4 * n));
  s.putImageData(pixels, 0, 0);
  place(panel.width - side);
  const share = (f) => `${Number((100 * f * v.largest).toPrecision(2))} %`;
  $("quarter").textContent = share(0.25);
  $("largest").textContent = `${share(1)}, the largest`;
  $("weights-caption").textContent = `Pixel (${v.x + weights.offset[0]}, ${v.y + weights.offset[1]}): ${v.words}`;
}
function mark(x, y) {
  const places = $("places");
  x = clamp(Math.floor(x), 0, places.width - 1);
  y = clamp(Math.floor(y), 0, places.height - 1);
  if (weights.ask) return weights.ask(x, y);
  let best = Infinity;
  weights.marked.forEach((v, n) => { const d = (v.x - x) ** 2 + (v.y - y) ** 2; if (d < best) { best = d; weights.chosen = n; } });
  drawPlaces();
  drawWeights();
}
$("places").addEventListener("click", (event) => {
  const places = $("places"), box = places.getBoundingClientRect();
  mark((event.clientX - box.left) * places.width / box.width, (event.clientY - box.top) * places.height / box.height);
});
$("places").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const now = weights.marked[weights.chosen];
  if (!by || !now) return;
  event.preventDefault();
  if (weights.ask) return mark(now.x + by[0] * (event.shiftKey ? 10 : 1), now.y + by[1] * (event.shiftKey ? 10 : 1));
  // among the marks, the nearest that lies on that side
  const ahead = weights.marked.map((v, n) => [n, (v.x - now.x) * by[0] + (v.y - now.y) * by[1], Math.abs((v.x - now.x) * by[1]) + Math.abs((v.y - now.y) * by[0])]);
  const next = ahead.filter(([, along]) => along > 0).sort((a, b) => a[1] + 2 * a[2] - b[1] - 2 * b[2])[0];
  if (next) { weights.chosen = next[0]; drawPlaces(); drawWeights(); }
});
