// The report: everything is in the page.
function showHead(data) {
  document.title = `${data.title} - nlmeans report`;
  $("title").textContent = data.title;
  $("summary").textContent = data.summary;
  $("cropped").textContent = data.cropped;
  showWarnings(data.warnings);
  showTable(data.table);
  showCommand(data.command);
}

// The two pictures that stand left and right of the line.
function placeBoth(viewer, images) {
  const all = [0, 0, viewer.width, viewer.height];
  const noisy = viewer.place("before", "whole", images.noisy, ...all);
  const clean = viewer.place("after", "whole", images.clean, ...all);
  noisy.alt = "The noisy picture";
  clean.alt = "The denoised picture";
  noisy.id = "noisy";
  clean.id = "clean";
  return { noisy, clean };
}

// A button with a picture and a line below it.
function pictureButton(image, caption, chosen) {
  const button = document.createElement("button"), crop = new Image(), text = document.createElement("span");
  button.type = "button";
  crop.className = "crop";
  crop.src = image;
  crop.alt = "";
  text.textContent = caption;
  button.append(crop, text);
  button.addEventListener("click", chosen);
  $("strip").append(button);
  return button;
}

function showReport(data) {
  showHead(data);
  showRemoved(data);

  const viewer = new Viewer(data.width, data.height);
  const { clean } = placeBoth(viewer, data.images), place = data.piece;

  Object.assign(weights, { marked: data.weights, chosen: data.marked });
  const pictures = [data.images.clean, data.images.noisy].map((source) => {
    const image = new Image();
    image.src = source;
    return image;
  });
  Promise.all(pictures.map((image) => image.decode())).then(() => showPlaces(...pictures, data.offset));

  // Other strengths, and what was removed: each can stand right of the line.
  const own = data.strip.findIndex((piece) => piece.chosen), buttons = [];
  const choose = (n, whole) => {
    const piece = data.strip[n];
    clean.src = whole ? data.images.removed : data.images.clean;
    if (whole || n === own) viewer.remove("after", "piece");
    else viewer.place("after", "piece", piece.image, place.left, place.top, place.width, place.height, true).id = "piece";
    viewer.name(whole ? "removed" : n === own ? "denoised" : piece.caption);
    buttons.forEach((button, m) => button.setAttribute("aria-pressed", !whole && m === n));
    $("show-removed").setAttribute("aria-pressed", whole);
  };
  data.strip.forEach(({ image, caption }, n) => buttons.push(pictureButton(image, caption, () => choose(n, false))));
  $("strengths").hidden = false;
  if (place.width < data.width || place.height < data.height)
    $("piece-note").textContent = `Other strengths are shown for the middle ${place.width} x ${place.height} pixels.`;
  $("show-removed").addEventListener("click", (event) => choose(own, event.currentTarget.getAttribute("aria-pressed") !== "true"));
  choose(own, false);
}
