// Runs the experiments of a session, one page load for each.
import { perform } from "./battery.js";
import { Saver } from "./saver.js";

const texts = {
  en: { of: "of", waiting: "Not saved yet: the server does not answer. Keep this window open.", over: "That was all", overText: "Thank you for taking part. Your data are saved; you may close this window.", again: "New session", broken: "This cannot go on" },
  de: { of: "von", waiting: "Noch nicht gespeichert: Der Server antwortet nicht. Lassen Sie das Fenster offen.", over: "Das war alles", overText: "Vielen Dank für Ihre Teilnahme. Ihre Daten sind gespeichert; Sie können das Fenster schließen.", again: "Neue Sitzung", broken: "So geht es nicht weiter" },
};

const stage = document.getElementById("stage");
const [, , participant, number] = location.pathname.split("/");
const api = `/api/sessions/${participant}/${number}`;

async function ask(url, body) {
  const answer = await fetch(url, body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error ?? answer.statusText);
  return value;
}

async function main() {
  const session = await ask(api);
  const t = texts[session.language] ?? texts.en;
  document.documentElement.lang = session.language;
  const { position, experiments } = session;
  if (position >= experiments.length) {
    document.body.classList.remove("running");
    stage.innerHTML = `<div class="page over"><h1>${t.over}</h1><p>${t.overText}</p><nav><a class="button quiet" href="/">${t.again}</a></nav></div>`;
    window.battery = { phase: "over" };
    return;
  }
  const name = experiments[position];
  const run = await ask(`${api}/${name}`, {});
  const here = run.config.translations[session.language] ?? run.config;
  document.title = here.name ?? run.config.name;
  if (!run.config.module) {
    location.replace(`/experiments/${name}/`);
    return;
  }
  document.getElementById("progress").textContent = experiments.length > 1 ? `${position + 1} ${t.of} ${experiments.length}` : "";
  const experiment = (await import(`/experiments/${name}/experiment.js`)).default;
  const saving = document.getElementById("saving");
  const saver = new Saver(`${api}/${name}/trials`, (state, why) => {
    saving.textContent = state === "waiting" ? `${t.waiting}${why ? ` (${why})` : ""}` : "";
    saving.dataset.state = state;
  });
  await perform(experiment, run, stage, (rows) => saver.add(rows));
  await saver.flush();
  await ask(`${api}/${name}/done`, {});
  location.reload();
}

main().catch((error) => {
  const p = document.createElement("p");
  p.textContent = error.message;
  stage.replaceChildren(p);
  document.body.classList.remove("running");
  window.battery = { phase: "error", error: String(error.stack) };
});
