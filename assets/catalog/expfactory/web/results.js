// The page of results: per experiment a table of participants and their measures, and the plot of one of them.
import { common } from "./texts.js";
import { draw, format } from "./plot.js";

const setup = await (await fetch("/api/setup")).json();
const { runs, problems } = await (await fetch("/api/results")).json();
const known = Object.fromEntries(setup.experiments.map((e) => [e.id, e]));

function node(name, attributes = {}, ...children) {
  const n = document.createElement(name);
  Object.entries(attributes).forEach(([k, v]) => n.setAttribute(k, v));
  n.append(...children);
  return n;
}

async function summarise(run) {
  const record = await (await fetch(`/api/results/${run.participant}/${run.session}/${run.experiment}`)).json();
  const experiment = (await import(`/experiments/${run.experiment}/experiment.js`)).default;
  const t = { ...common.en, ...experiment.texts.en };
  return experiment.summary(record.trials.filter((r) => r.phase === "main"), t);
}

function state(run) {
  return run.finished ? new Date(run.finished).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : `unfinished, ${run.count} trials`;
}

async function section(id) {
  const mine = runs.filter((r) => r.experiment === id);
  const e = known[id] ?? { name: id, description: "", module: false };
  const box = node("article", { class: "result", "data-experiment": id }, node("h2", {}, e.name), node("p", { class: "files" },
    node("a", { href: `/merged/${id}.csv`, download: `${id}.csv` }, "All participants (CSV)"), " ", node("a", { href: `/data/codebook/${id}.csv`, download: "" }, "Codebook")));
  const table = node("table");
  const plot = node("figure");
  box.append(table, plot);
  const summaries = e.module ? await Promise.all(mine.map((r) => summarise(r).catch(() => null))) : mine.map(() => null);
  const measures = summaries.find((s) => s)?.measures ?? [];
  table.append(node("tr", {}, node("th", {}, "Participant"), node("th", {}, "Session"), ...measures.map((m) => node("th", { class: "number" }, m.label)), node("th", {}, "Finished"), node("th", {}, "Files")));
  const rows = mine.map((r, i) => {
    const row = node("tr", { id: r.participant, "data-participant": r.participant }, node("td", {}, node("button", { type: "button", class: "plain" }, r.participant)), node("td", {}, String(r.session)),
      ...measures.map((m) => node("td", { class: "number" }, format(summaries[i]?.measures.find((x) => x.key === m.key) ?? { value: null }))),
      node("td", {}, state(r)), node("td", {}, node("a", { href: `/data/${r.file}.csv`, download: "" }, "CSV"), " ", node("a", { href: `/data/${r.file}.json`, download: "" }, "JSON")));
    row.querySelector("button").addEventListener("click", () => show(i));
    return row;
  });
  table.append(...rows);
  const show = (i) => {
    rows.forEach((row, n) => row.classList.toggle("shown", n === i));
    plot.innerHTML = summaries[i] ? draw(summaries[i].plot) : "";
    if (plot.innerHTML) plot.append(node("figcaption", {}, `${mine[i].participant}, session ${mine[i].session}`));
  };
  const wanted = mine.findIndex((r) => r.participant === decodeURIComponent(location.hash.slice(1)));
  show(wanted >= 0 ? wanted : mine.length - 1);
  return box;
}

const ids = [...new Set(runs.map((r) => r.experiment))];
const people = new Set(runs.map((r) => r.participant)).size;
document.getElementById("lead").textContent = runs.length ? `${people} ${people === 1 ? "participant" : "participants"}, ${runs.length} ${runs.length === 1 ? "run" : "runs"}.` : "There are no data yet.";
document.getElementById("overview").append(...problems.map((p) => node("p", { class: "problem", role: "alert" }, `Left out: ${p}`)));
document.getElementById("details").append(...await Promise.all(ids.map(section)));
document.body.dataset.ready = "yes";
