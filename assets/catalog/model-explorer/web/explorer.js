// The page of the model explorer: parameters on one side, what the model gives on the other. The address holds the values, so
// that it can be kept or sent.
const by = (id) => document.getElementById(id);
let folder = "", models = [], model = null, values = {};

function node(name, attributes = {}, ...children) {
  const n = document.createElement(name);
  Object.entries(attributes).forEach(([k, v]) => n.setAttribute(k, v));
  n.append(...children);
  return n;
}

// What is different from the starting values, for the address and the server.
function query() {
  const q = new URLSearchParams({ model: model.id });
  (model.parameters ?? []).forEach((p) => {
    if (values[p.name] !== p.value) q.set(p.name, p.kind === "box" ? (values[p.name] ? "1" : "0") : String(values[p.name]));
  });
  if (by("compare").checked) q.set("compare", "1");
  return q;
}

function clean(p, text) {
  if (p.kind === "box") return text === true || text === "1";
  if (p.kind === "choice") return p.choices.find((c) => String(c) === String(text)) ?? p.value;
  if (p.kind !== "number") return String(text);
  const n = text === "" ? NaN : Number(text);
  return Number.isFinite(n) ? Math.min(p.high, Math.max(p.low, n)) : p.value;
}

function control(p) {
  const id = `p-${p.name}`;
  const box = node("div", { class: "parameter" });
  const set = (v) => {
    values[p.name] = clean(p, v);
    draw();
  };
  if (p.kind === "number") {
    const slider = node("input", { type: "range", min: p.low, max: p.high, step: p.step, "aria-label": p.label, id: `${id}-slider` });
    const field = node("input", { type: "number", min: p.low, max: p.high, step: p.whole ? 1 : "any", id });
    slider.addEventListener("input", () => { set(slider.value); field.value = values[p.name]; });
    field.addEventListener("change", () => { set(field.value); slider.value = field.value = values[p.name]; });
    box.append(node("label", { for: id }, p.label), slider, field);
    box.show = () => { slider.value = field.value = values[p.name]; };
  } else if (p.kind === "box") {
    const tick = node("input", { type: "checkbox", id });
    tick.addEventListener("change", () => set(tick.checked));
    box.classList.add("check");
    box.append(node("label", { for: id }, tick, p.label));
    box.show = () => { tick.checked = values[p.name]; };
  } else {
    const field = p.kind === "choice" ? node("select", { id }, ...p.choices.map((c) => node("option", {}, String(c)))) : node("input", { type: "text", id });
    field.addEventListener("change", () => set(field.value));
    box.append(node("label", { for: id }, p.label), field);
    box.show = () => { field.value = String(values[p.name]); };
  }
  box.show();
  return box;
}

// Draws the result: the newest values only, one question to the server at a time.
let asking = false, again = false;
async function draw() {
  if (!model) return;
  again = asking;
  if (asking) return;
  asking = true;
  document.body.classList.add("busy");
  try {
    do {
      again = false;
      const q = query();
      history.replaceState(null, "", `?${q}`);
      ["csv:table.csv", "png:picture.png", "pdf:picture.pdf", "source:source"].forEach((pair) => {
        const [id, path] = pair.split(":");
        by(id).href = `/api/${path}?${q}`;
      });
      let answer;
      try {
        const response = await fetch(`/api/draw?${q}`);
        answer = await response.json();
      } catch {
        answer = { error: "The server does not answer. Is the app still running?" };
      }
      if (!again) show(answer);
    } while (again);
  } finally {
    asking = false;
    document.body.classList.remove("busy");
  }
}

function show(answer) {
  by("problem").hidden = !answer.error;
  by("problem").textContent = answer.error ?? "";
  by("printed").hidden = !answer.printed;
  by("printed").textContent = answer.printed ?? "";
  if (answer.error) {
    by("state").textContent = "The model has an error; the picture is from before.";
    document.body.dataset.drawn = "error";
    return;
  }
  by("picture").hidden = !answer.picture;
  if (answer.picture) by("picture").src = answer.picture;
  const numbers = Object.entries(answer.numbers ?? {});
  by("picture").alt = `Curves of ${model.title}. ${numbers.map(([k, v]) => `${k}: ${v}`).join("; ")}`;
  by("numbers").replaceChildren(...numbers.flatMap(([k, v]) => [node("dt", {}, k), node("dd", {}, v)]));
  by("state").textContent = `Computed in ${answer.seconds.toFixed(2)} s`;
  document.body.dataset.drawn = `${Number(document.body.dataset.drawn) + 1 || 1}`;
}

// Shows a model; values that are known stay.
function choose(id, from = new URLSearchParams()) {
  model = models.find((m) => m.id === id) ?? models[0] ?? null;
  by("controls").hidden = !model?.parameters;
  if (!model) {
    by("title").textContent = "Model explorer";
    by("text").textContent = `There is no model in ${folder} yet. Put a file model.py there, with a function named model:\n\n`
      + "import numpy as np\n\ndef model(growth: (0, 2, \"Growth per day\") = 0.5, days: (5, 50) = 20):\n    t = np.linspace(0, days, 200)\n    return {\"day\": t, \"size\": np.exp(growth * t)}\n\nThis page shows it as soon as it is there.";
    by("picture").hidden = true;
    by("numbers").replaceChildren();
    return;
  }
  by("models").value = model.id;
  document.title = by("title").textContent = model.title;
  by("text").textContent = model.text ?? "";
  if (model.error) {
    // The address keeps the values for when the mistake is mended.
    if (new URLSearchParams(location.search).get("model") !== model.id) history.replaceState(null, "", `?${query()}`);
    show(model);
    by("state").textContent = "This page looks again when the file changes.";
    return;
  }
  values = Object.fromEntries(model.parameters.map((p) => [p.name, from.has(p.name) ? clean(p, from.get(p.name)) : p.value]));
  by("parameters").replaceChildren(...model.parameters.map(control));
  draw();
}

const stampNow = async () => (await (await fetch("/api/stamp")).json()).stamp;

let stamp = "";
async function load(from) {
  // Asked for before the models, so that what changes in between is seen.
  stamp = await stampNow();
  ({ models, folder } = await (await fetch("/api/models")).json());
  by("which").hidden = models.length < 2;
  by("models").replaceChildren(...models.map((m) => node("option", { value: m.id }, m.title)));
  choose(from.get("model"), from);
}

// Looks whether a file has changed.
async function watch() {
  try {
    if ((await stampNow()) !== stamp) await load(new URLSearchParams(location.search));
  } catch {
    // The next time, perhaps: what is asked for meanwhile says that the server does not answer.
  }
  setTimeout(watch, 1500);
}

by("models").addEventListener("change", () => choose(by("models").value));
by("compare").addEventListener("change", draw);
by("controls").addEventListener("submit", (e) => e.preventDefault());
by("controls").addEventListener("reset", (e) => {
  e.preventDefault();
  choose(model.id);
});
const first = new URLSearchParams(location.search);
by("compare").checked = first.get("compare") === "1";
await load(first);
watch();
