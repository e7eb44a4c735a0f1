// The report of a film: some of its frames, each before and after; everything is in the page.
function showFilm(data) {
  showHead(data);
  const viewer = new Viewer(data.width, data.height), buttons = [];
  $("strip-title").textContent = "Frames";
  $("strip-hands").textContent = "Click on one to see it, and below what was removed of it.";
  let now = 0;
  const choose = (n, removed) => {
    const frame = data.frames[n], { clean } = placeBoth(viewer, frame.images);
    if (removed) clean.src = frame.images.removed;
    if (n !== now || !buttons.some((button) => button.ariaPressed === "true")) showRemoved(frame);
    now = n;
    viewer.name(removed ? "removed" : "denoised");
    buttons.forEach((button, m) => button.setAttribute("aria-pressed", m === n));
    $("show-removed").setAttribute("aria-pressed", removed);
  };
  data.frames.forEach(({ images, caption }, n) => buttons.push(pictureButton(images.clean, caption, () => choose(n, false))));
  $("strengths").hidden = false;
  $("show-removed").addEventListener("click", (event) => choose(now, event.currentTarget.getAttribute("aria-pressed") !== "true"));
  choose(0, false);
}
