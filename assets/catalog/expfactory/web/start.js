// The first page: what to run, for whom.
const texts = {
  en: {
    title: "Choose experiments", one: "Ready to begin", lead: "Pick one or several. They run in the order in which you pick them.", chosen: "This session has been prepared for you.",
    participant: "Participant", trials: "Trials", minutes: "At most … minutes", order: "Order", given: "as picked", random: "random", begin: "Begin", results: "Results",
    minutesShort: "min", sum: (n, m) => (n ? `${n} ${n === 1 ? "experiment" : "experiments"}, about ${m} minutes` : "Nothing is picked yet"), usual: "as usual", other: "Deutsch",
    found: "There is an unfinished session", foundText: (s) => `${s.participant} stopped at experiment ${s.position + 1} of ${s.experiments.length}.`, goOn: "Go on with it", anew: "Begin a new one", elsewhere: "It was begun in another browser. Who leads the study goes on with it here by the key, which stands in the log of this app.", key: "Key", reference: "Source",
    lost: "Nothing is kept: the data are saved inside the container and lost when it ends. Start it with -B FOLDER:/data to keep them.", always: "always all of it",
    leftOut: (names) => `Not in the time: ${names}`, broken: (what) => `Left out: ${what}`,
  },
  de: {
    title: "Experimente wählen", one: "Gleich geht es los", lead: "Wählen Sie eines oder mehrere. Sie laufen in der Reihenfolge, in der Sie sie wählen.", chosen: "Diese Sitzung ist für Sie vorbereitet.",
    participant: "Versuchsperson", trials: "Durchgänge", minutes: "Höchstens … Minuten", order: "Reihenfolge", given: "wie gewählt", random: "zufällig", begin: "Los", results: "Ergebnisse",
    minutesShort: "Min", sum: (n, m) => (n ? `${n} ${n === 1 ? "Experiment" : "Experimente"}, etwa ${m} Minuten` : "Noch ist nichts gewählt"), usual: "wie üblich", other: "English",
    found: "Es gibt eine unterbrochene Sitzung", foundText: (s) => `${s.participant} hat bei Experiment ${s.position + 1} von ${s.experiments.length} aufgehört.`, goOn: "Weitermachen", anew: "Neu beginnen", elsewhere: "Sie wurde in einem anderen Browser begonnen. Die Versuchsleitung setzt sie hier mit dem Schlüssel fort, der im Protokoll dieser App steht.", key: "Schlüssel", reference: "Quelle",
    lost: "Nichts wird behalten: Die Daten liegen im Container und gehen mit ihm verloren. Mit -B ORDNER:/data gestartet, bleiben sie.", always: "immer vollständig",
    leftOut: (names) => `Keine Zeit für: ${names}`, broken: (what) => `Ausgelassen: ${what}`,
  },
};

const by = (id) => document.getElementById(id);
const setup = await (await fetch("/api/setup")).json();
const form = by("form");
const fields = form.elements;
let language = new URLSearchParams(location.search).get("lang") ?? setup.language;
let picked = [];

fields.participant.value = setup.participant;
fields.participant.placeholder = setup.suggestion;
fields.trials.value = setup.trials ?? "";
fields.minutes.value = setup.minutes ?? "";
fields.order.value = setup.order;

function minutes(e) {
  const trials = Number(fields.trials.value);
  return trials && e.trials && !e.fixed ? (e.minutes * trials) / e.trials : e.minutes;
}

function node(name, attributes = {}, ...children) {
  const n = document.createElement(name);
  Object.entries(attributes).forEach(([k, v]) => n.setAttribute(k, v));
  n.append(...children);
  return n;
}

function draw() {
  const t = texts[language];
  document.documentElement.lang = language;
  document.querySelectorAll("[data-text]").forEach((n) => { n.textContent = t[n.dataset.text]; });
  by("language").textContent = t.other;
  fields.trials.placeholder = fields.minutes.placeholder = t.usual;
  document.body.classList.toggle("prepared", setup.chosen !== null);
  if (setup.chosen) document.querySelector("h1").textContent = t.one;
  by("lead").textContent = setup.chosen ? t.chosen : t.lead;
  const shown = setup.chosen ? setup.chosen.map((id) => setup.experiments.find((e) => e.id === id)) : setup.experiments;
  by("list").replaceChildren(...shown.map((e) => {
    const own = { ...e, ...e.translations[language] };
    const place = picked.indexOf(e.id) + 1;
    const card = node("button", { type: "button", "data-experiment": e.id, "aria-pressed": String(place > 0) },
      node("span", { class: "mark" }, place ? String(place) : ""), node("b", {}, own.name), node("span", { class: "time" }, `${Math.max(1, Math.round(minutes(e)))} ${t.minutesShort}${fields.trials.value && e.fixed ? `, ${t.always}` : ""}`), node("span", { class: "text" }, own.description));
    card.addEventListener("click", () => {
      picked = place ? picked.filter((id) => id !== e.id) : [...picked, e.id];
      draw();
      document.querySelector(`[data-experiment="${e.id}"]`).focus();
    });
    card.disabled = setup.chosen !== null;
    return node("li", {}, card);
  }));
  const list = setup.chosen ?? picked;
  const known = (id) => setup.experiments.find((e) => e.id === id);
  // As the server chooses: in this order, each that still fits.
  let left = Number(fields.minutes.value) || Infinity;
  const fits = fields.order.value === "random" ? list : list.filter((id) => minutes(known(id)) <= left && ((left -= minutes(known(id))), true));
  const out = list.filter((id) => !fits.includes(id)).map((id) => ({ ...known(id), ...known(id).translations[language] }).name);
  by("sum").textContent = t.sum(fits.length, Math.max(1, Math.round(fits.reduce((s, id) => s + minutes(known(id)), 0)))) + (out.length ? `. ${t.leftOut(out.join(", "))}` : "");
  by("lost").textContent = setup.kept ? "" : t.lost;
  by("broken").replaceChildren(...setup.problems.map((p) => node("li", {}, t.broken(p))));
  by("begin").disabled = list.length === 0;
}

async function begin(resume) {
  const body = {
    participant: fields.participant.value.trim(), experiments: setup.chosen ?? picked, language, order: fields.order.value,
    trials: fields.trials.value || null, minutes: fields.minutes.value || null, resume, key: by("key").value,
  };
  by("problem").textContent = "";
  const answer = await fetch("/api/sessions", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const value = await answer.json();
  if (answer.status === 409) {
    by("foundText").textContent = texts[language].foundText(value.unfinished);
    by("elsewhere").hidden = !value.unfinished.elsewhere;
    by("resume").returnValue = "";
    by("resume").showModal();
  } else if (!answer.ok) {
    by("problem").textContent = value.error;
  } else {
    location.href = `/run/${value.participant}/${value.session}`;
  }
}

const failed = (error) => { by("problem").textContent = error.message; };
form.addEventListener("submit", (e) => {
  e.preventDefault();
  begin(null).catch(failed);
});
by("resume").addEventListener("close", () => {
  if (by("resume").returnValue) begin(by("resume").returnValue === "go-on").catch(failed);
});
[fields.trials, fields.minutes, fields.order].forEach((f) => f.addEventListener("input", draw));
by("language").addEventListener("click", () => {
  language = language === "en" ? "de" : "en";
  draw();
});
draw();
