// Enlarges a photo in a dialog.  The keys + - 0, the buttons, a double click, or Ctrl and the wheel change its size;
// dragging, scrolling and the arrow keys move it; Escape closes the dialog.
"use strict";
{
  const STEP = 1.5;
  const LARGEST = 24;
  const KEYS = { "+": "in", "=": "in", "-": "out", "0": "fit" };
  const dialog = document.querySelector("dialog.viewer");
  const stage = dialog.querySelector(".stage");
  const size = dialog.querySelector("output");
  let photo = null; // the copy in the dialog
  let scale = 1; // 1 fits the dialog

  // Changes the size; the point of the photo below x, y of the window stays where it is.
  const zoom = (wanted, x, y) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    const [pointX, pointY] = [x ?? left + width / 2, y ?? top + height / 2];
    const before = photo.getBoundingClientRect();
    const image = photo.querySelector("img");
    const [fullWidth, fullHeight] = [image.getAttribute("width"), image.getAttribute("height")];
    const fitting = Math.min(stage.clientWidth / fullWidth, stage.clientHeight / fullHeight);
    scale = Math.min(LARGEST, Math.max(1, wanted));
    photo.style.width = `${fullWidth * fitting * scale}px`;
    const after = photo.getBoundingClientRect();
    stage.scrollLeft += after.left + ((pointX - before.left) / before.width) * after.width - pointX;
    stage.scrollTop += after.top + ((pointY - before.top) / before.height) * after.height - pointY;
    size.textContent = `${Math.round(scale * 100)}%`;
  };

  const actions = {
    in: () => zoom(scale * STEP),
    out: () => zoom(scale / STEP),
    fit: () => zoom(1),
    close: () => dialog.close(),
  };

  const open = (frame) => {
    photo = frame.cloneNode(true);
    const image = photo.querySelector("img");
    photo.querySelector("button").replaceWith(image);
    image.loading = "eager";
    stage.replaceChildren(photo);
    dialog.setAttribute("aria-label", image.alt);
    dialog.showModal();
    zoom(1);
  };

  for (const frame of document.querySelectorAll(".frame")) {
    const image = frame.querySelector("img");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", `Enlarge ${image.alt}`);
    button.addEventListener("click", () => open(frame));
    image.replaceWith(button);
    button.append(image);
  }

  for (const button of dialog.querySelectorAll("button")) {
    button.addEventListener("click", () => actions[button.dataset.zoom]());
  }

  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    actions[KEYS[event.key]]();
  });

  dialog.addEventListener("close", () => stage.replaceChildren());

  stage.addEventListener("dblclick", (event) => {
    zoom(scale > 1 ? 1 : 4, event.clientX, event.clientY);
  });

  stage.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // the wheel itself scrolls
      event.preventDefault();
      zoom(scale * (event.deltaY < 0 ? STEP : 1 / STEP), event.clientX, event.clientY);
    },
    { passive: false },
  );

  // A finger pans by scrolling; a mouse has to drag.
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("dragged");
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.classList.contains("dragged")) stage.scrollBy(-event.movementX, -event.movementY);
  });
  stage.addEventListener("lostpointercapture", () => stage.classList.remove("dragged"));

  window.addEventListener("resize", () => {
    if (dialog.open) zoom(scale);
  });
}
