// The page of the viewer: planes of one image, moved together.
const by = (id) => document.getElementById(id);
let items = [], item = null, volume = null, at = [0, 0, 0], views = [];

function node(name, attributes = {}, ...children) {
  const n = document.createElement(name);
  Object.entries(attributes).forEach(([k, v]) => n.setAttribute(k, v));
  n.append(...children);
  return n;
}

async function ask(path, asked = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(asked)}`);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error ?? answer.statusText);
  return value;
}

// Sliders have a thousand steps between the smallest and the largest value.
const low = () => volume.low + (volume.high - volume.low) * Number(by("low").value) / 1000;
const high = () => volume.low + (volume.high - volume.low) * Number(by("high").value) / 1000;
const step = (value) => String(Math.round((value - volume.low) / (volume.high - volume.low) * 1000));
const short = (value) => (Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 0.01) ? value.toExponential(2) : String(Number(value.toPrecision(4))));

// One plane: a picture with a cross where the others are, and a slider. Only the newest picture is asked for.
function view(plane) {
  const image = node("img", { alt: `${plane.name} plane`, draggable: "false" });
  const h = node("i", { class: "h" }), v = node("i", { class: "v" });
  const frame = node("div", { class: `picture${Math.max(plane.columns, plane.rows) > 400 ? " large" : ""}` }, image, h, v);
  const slider = node("input", { type: "range", min: 0, max: plane.count - 1, step: 1, "aria-label": `Position of the ${plane.name} plane` });
  const number = node("input", { type: "number", min: 1, max: plane.count, "aria-label": `Number of the ${plane.name} plane` });
  const figure = node("figure", { "data-plane": plane.name }, node("div", { class: "frame" }, frame, ...[...plane.labels].map((l) => node("b", {}, l))));
  const caption = node("figcaption", {}, node("span", {}, plane.name));
  if (plane.count > 1) caption.append(slider, number);
  figure.append(caption);

  const go = (index) => {
    at[plane.axis] = Math.min(plane.count - 1, Math.max(0, Math.round(index) || 0));
    move();
  };
  slider.addEventListener("input", () => go(Number(slider.value)));
  number.addEventListener("change", () => go(Number(number.value) - 1));
  frame.addEventListener("wheel", (e) => {
    if (plane.count < 2) return;
    e.preventDefault();
    go(at[plane.axis] + Math.sign(e.deltaY));
  }, { passive: false });
  const point = (e) => {
    const box = frame.getBoundingClientRect();
    const within = (f, n) => Math.min(n - 1, Math.max(0, Math.floor(f * n)));
    at[plane.across] = within((e.clientX - box.left) / box.width, plane.columns);
    at[plane.up] = plane.rows - 1 - within((e.clientY - box.top) / box.height, plane.rows);
    move();
  };
  frame.addEventListener("pointerdown", (e) => {
    point(e);
    frame.setPointerCapture(e.pointerId);
  });
  frame.addEventListener("pointermove", (e) => e.buttons && point(e));

  // As large as fits, in the shape it has in the world.
  const fit = () => {
    const room = frame.parentNode.getBoundingClientRect();
    const scale = Math.min((room.width - 42) / plane.width, (room.height - 42) / plane.height);
    frame.style.width = `${Math.max(1, plane.width * scale)}px`;
    frame.style.height = `${Math.max(1, plane.height * scale)}px`;
  };
  let loading = false, wanted = "", shown = "";
  const load = () => {
    if (loading || wanted === shown) return;
    const url = wanted;
    loading = true;
    const done = () => {
      loading = false;
      shown = url;
      figure.dataset.shown = String(at[plane.axis]);
      load();
    };
    image.onload = image.onerror = done;
    image.src = url;
  };
  return {
    figure, fit,
    draw() {
      slider.value = at[plane.axis];
      number.value = at[plane.axis] + 1;
      v.style.left = `${(at[plane.across] + 0.5) / plane.columns * 100}%`;
      h.style.bottom = `${(at[plane.up] + 0.5) / plane.rows * 100}%`;
      wanted = `/api/slice.png?${new URLSearchParams({ item: item.id, axis: plane.axis, index: at[plane.axis], time: by("time").value, low: low(), high: high(), curve: by("curve").value, colours: by("colours").value, changed: volume.stamp })}`;
      load();
    },
  };
}

// What is under the cross; the newest question only.
let asking = false, again = false;
async function tell() {
  again = asking;
  if (asking) return;
  asking = true;
  do {
    again = false;
    const [x, y, z] = at, of = item;
    try {
      const answer = await ask("/api/value", { item: of.id, x, y, z, time: by("time").value });
      if (of === item) by("at").textContent = `Voxel ${volume.shape.slice(0, volume.shape[2] > 1 ? 3 : 2).map((_, i) => at[i] + 1).join(", ")}: ${answer.value}${answer.place ? `  ·  ${answer.place}` : ""}${volume.note ? `  ·  ${volume.note}` : ""}`;
    } catch (error) {
      by("at").textContent = error.message;
    }
  } while (again);
  asking = false;
}

function move() {
  by("low-value").textContent = short(low());
  by("high-value").textContent = short(high());
  by("time-value").textContent = `${Number(by("time").value) + 1} of ${volume.times}`;
  views.forEach((v) => v.draw());
  tell();
}

function reset() {
  by("low").value = step(volume.start);
  by("high").value = step(volume.end);
  by("colours").value = "grey";
  by("curve").value = "linear";
  by("time").value = 0;
  at = volume.shape.slice(0, 3).map((n) => Math.floor(n / 2));
  move();
}

let opened = 0;
async function open(id) {
  const mine = ++opened;
  item = items.find((i) => i.id === id);
  document.querySelectorAll("#items a").forEach((a) => (a.dataset.id === id ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current")));
  by("title").textContent = item?.name ?? "";
  by("problem").hidden = true;
  ["settings", "about"].forEach((n) => { by(n).hidden = true; });
  by("views").replaceChildren();
  by("at").textContent = item ? "Loading …" : "";
  if (!item) return;
  let loaded;
  try {
    loaded = await ask("/api/volume", { item: id });
  } catch (error) {
    if (mine !== opened) return;
    by("at").textContent = "";
    by("problem").textContent = error.message;
    by("problem").hidden = false;
    return;
  }
  if (mine !== opened) return;
  volume = { ...loaded, stamp: Date.now() };
  const size = volume.shape.filter((n, i) => i < 2 || n > 1).join(" × ");
  by("title").append(node("small", {}, `${volume.kind}, ${size}`));
  by("time").max = volume.times - 1;
  by("time-label").hidden = volume.times < 2;
  views = volume.planes.map(view);
  by("views").replaceChildren(...views.map((v) => v.figure));
  by("settings").hidden = by("about").hidden = false;
  by("header").replaceChildren(...volume.header.map(([k, v]) => node("tr", {}, node("th", { scope: "row" }, k), node("td", {}, v))));
  views.forEach((v) => v.fit());
  reset();
}

["low", "high", "colours", "curve", "time"].forEach((n) => by(n).addEventListener("input", () => {
  // The darkest stays below the brightest.
  if (n === "low" && Number(by("low").value) >= Number(by("high").value)) by("high").value = Number(by("low").value) + 1;
  if (n === "high" && Number(by("high").value) <= Number(by("low").value)) by("low").value = Number(by("high").value) - 1;
  move();
}));
by("settings").addEventListener("reset", (e) => {
  e.preventDefault();
  reset();
});
by("settings").addEventListener("submit", (e) => e.preventDefault());
addEventListener("resize", () => views.forEach((v) => v.fit()));
const chosen = () => decodeURIComponent(location.hash.slice(1));
addEventListener("hashchange", () => open(chosen()));

async function list() {
  let folder;
  ({ items, folder } = await ask("/api/items"));
  by("items").replaceChildren(...items.map((i) => node("a", { href: `#${encodeURIComponent(i.id)}`, "data-id": i.id }, i.name, node("br"), node("small", {}, [i.kind, i.detail].filter(Boolean).join(", ")))));
  if (items.length === 0) {
    by("items").append(node("p", { class: "quiet" }, `There is no image in ${folder}. Files of NIfTI (.nii, .nii.gz, .mgz), DICOM and FITS are shown, from this folder and those in it.`));
  }
}
try {
  await list();
  if (items.some((i) => i.id === chosen())) await open(chosen());
  else if (items.length) location.hash = encodeURIComponent(items[0].id);
} catch (error) {
  by("problem").textContent = error.message;
  by("problem").hidden = false;
}
