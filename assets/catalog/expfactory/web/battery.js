// The framework the experiments share, on jsPsych. An experiment is a module whose default export has
//
//   texts      {en: {…}, de: {…}}: title, pages (instructions), keys, debrief …
//   trials     (ctx) => [spec, …]       the main trials, made from ctx.random alone, so that they can be made again
//   practice   (ctx) => [spec, …]       practice trials; none without it
//   trial      (spec, ctx) => a jsPsych trial; key tasks call ctx.keys({…}) to make one
//   row        (data, spec, ctx) => columns of the data, besides the common ones; optional
//   rows       (spec) => how many rows a trial has; 1 without it
//   afresh     (spec, i, ctx)           changes the i-th trial (from 0) after an interruption, where trials depend on those before
//   wording    (ctx) => {NAME: text}    what stands for {NAME} in the texts; optional
//   after      (row, ctx)               what an adaptive experiment learns from a trial; called again for old rows on resume
//   summary    (rows, t) => {measures: [{key, label, value, unit, digits}], plot}
//
// ctx.stop = true ends the main trials early.
import { Random } from "./random.js";
import { KeyTask } from "./keytask.js";
import { common } from "./texts.js";
import { showSummary } from "./plot.js";

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
export const escape = (text) => String(text).replace(/[&<>"']/g, (c) => escapes[c]);

// What an experiment's functions get.
export function context(experiment, run) {
  const language = experiment.texts[run.language] ? run.language : "en";
  let t = { ...common[language], ...experiment.texts[language] };
  const ctx = {
    t, language, parameters: { ...experiment.parameters, ...run.parameters }, state: {}, stop: false, practising: false,
    random: new Random(run.seed),
    // A source of chance for one trial, the same however often it is asked for.
    chance: (n) => new Random((run.seed ^ Math.imul(n + 1, 0x9e3779b1)) >>> 0),
  };
  if (experiment.wording) ctx.t = t = filled(t, experiment.wording(ctx));
  ctx.keys = (task) => keyTrial(task, ctx);
  return ctx;
}

// Texts with words in the place of {NAME}.
function filled(value, words) {
  if (typeof value === "string") return value.replace(/\{(\w+)\}/g, (all, name) => words[name] ?? all);
  if (Array.isArray(value)) return value.map((v) => filled(v, words));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, filled(v, words)]));
  return value;
}

// How many of the main trials have been done: a trial counts when all its rows are there.
function doneOf(main, rows, count) {
  const have = {};
  rows.forEach((r) => { const key = r.key.split(".")[0]; have[key] = (have[key] ?? 0) + 1; });
  const first = main.findIndex((spec, i) => (have[`main-${i + 1}`] ?? 0) < (count?.(spec) ?? 1));
  return first < 0 ? main.length : first;
}

// A trial of a task that is answered by keys; see KeyTask for what it can have.
function keyTrial(task, ctx) {
  return { type: KeyTask, ...task, labels: ctx.t.labels ?? {}, texts: ctx.t, feedback: () => ctx.practising };
}

// Runs an experiment in an element: instructions, practice until it is understood, main trials, debrief. save(rows) is called
// with every trial, which has one row or, on a page of a survey, several. The promise is kept when the participant has read the debrief.
export function perform(experiment, run, element, save) {
  const ctx = context(experiment, run);
  const t = ctx.t;
  const jsPsych = window.initJsPsych({ display_element: element });
  const main = experiment.trials(ctx);
  const known = run.trials.filter((r) => r.phase === "main");
  const done = doneOf(main, known, experiment.rows);
  // What is left of a trial that was cut off is asked for again.
  const rows = known.filter((r) => Number(/^main-(\d+)/.exec(r.key)?.[1]) <= done);
  let interrupted = 0;
  const leave = () => { interrupted = 1; };
  const hidden = () => { if (document.hidden) leave(); };
  window.addEventListener("blur", leave);
  document.addEventListener("visibilitychange", hidden);

  // One trial: what it shows, and its row. A trial keeps the data of its last part that has an answer.
  const one = (spec, phase, key, number) => {
    const trial = experiment.trial(spec, ctx);
    const before = trial.on_start;
    const finished = trial.on_finish;
    trial.on_start = (x) => {
      interrupted = 0;
      window.battery = { experiment: run.experiment, phase, number, spec, trial: x };
      before?.(x);
    };
    trial.on_finish = (data) => {
      finished?.(data);
      const answers = data.rows ?? [data];
      const made = answers.map((answer, i) => ({
        key: answers.length > 1 ? `${key}.${i + 1}` : key, phase, trial: answer.number ?? number,
        condition: spec.condition ?? "", stimulus: spec.stimulus ?? "",
        response: answer.response ?? "", correct_response: answer.correct_response ?? "", correct: answer.correct ?? "",
        rt_ms: round(answer.rt), onset_ms: round(answer.onset), late_ms: round(answer.late), interrupted,
        time: new Date().toISOString(), ...experiment.row?.(answer, spec, ctx),
      }));
      save(made);
      made.forEach((row) => {
        if (phase === "main") {
          rows.push(row);
          experiment.after?.(row, ctx);
        } else {
          practised.push(row);
        }
      });
      window.battery = { experiment: run.experiment, phase: "between" };
    };
    return { timeline: [trial], conditional_function: () => phase === "practice" || !ctx.stop };
  };

  let practised = [];
  const resumed = known.length > 0;
  rows.forEach((r) => experiment.after?.(r, ctx));
  const timeline = [];
  timeline.push(pages(resumed ? [`<h1>${t.welcomeBack}</h1><p>${t.goOn}</p>${t.pages.at(-1)}`] : [`<h1>${t.title}</h1>${t.pages[0]}`, ...t.pages.slice(1)], t, t.begin));

  if (!resumed && experiment.practice) {
    const block = (list, n) => list.map((spec, i) => one(spec, "practice", `practice-${run.resumed}-${n}-${i + 1}`, i + 1));
    const lists = [1, 2].map(() => experiment.practice(ctx));
    const right = () => practised.filter((r) => r.correct === 1 || r.correct === "").length / Math.max(1, practised.length);
    lists.forEach((list, n) => {
      timeline.push({
        timeline: [pages([n === 0 ? `<h2>${t.practice}</h2><p>${t.practiceText}</p>` : `<h2>${t.onceMore}</h2><p>${t.onceMoreText}</p>${t.pages.at(-1)}`], t, t.startPractice), ...block(list, n + 1)],
        // The second round is for those who got too much of the first wrong.
        conditional_function: () => n === 0 || right() < 0.7,
        on_timeline_start: () => { ctx.practising = true; practised = []; },
        on_timeline_finish: () => { ctx.practising = false; },
      });
    });
    timeline.push(pages([`<h2>${t.nowReal}</h2><p>${t.nowRealText}</p>`], t, t.start));
  }

  // Main trials, with a rest now and then.
  if (resumed) main.slice(done).forEach((spec, i) => experiment.afresh?.(spec, i, ctx));
  const rest = ctx.parameters.rest ?? 60;
  main.forEach((spec, i) => {
    if (i < done) return;
    if (rest && i > done && i % rest === 0 && main.length - i >= rest / 3) {
      timeline.push({
        ...pages([`<h2>${t.rest}</h2><p>${t.restText}</p><p class="quiet">${i} / ${main.length}</p>`], t, t.goOnButton),
      });
    }
    timeline.push(one(spec, "main", `main-${i + 1}`, i + 1));
  });

  // What it was about, and how it went.
  timeline.push({
    type: window.jsPsychHtmlButtonResponse,
    stimulus: () => {
      const summary = experiment.summary(rows, t);
      return `<div class="page"><h1>${t.thanks}</h1>${t.debrief}<div class="own">${showSummary(summary, t)}</div></div>`;
    },
    choices: [t.next],
    on_start: () => { window.battery = { experiment: run.experiment, phase: "debrief" }; },
  });

  return jsPsych.run(timeline).finally(() => {
    window.removeEventListener("blur", leave);
    document.removeEventListener("visibilitychange", hidden);
  });
}

function pages(list, t, last) {
  const shown = list.map((html) => `<div class="page">${html}</div>`);
  return {
    type: window.jsPsychInstructions, pages: shown, show_clickable_nav: true, allow_backward: list.length > 1, key_forward: " ",
    button_label_previous: t.back, button_label_next: list.length > 1 ? t.next : last,
    on_start: () => { window.battery = { phase: "pages" }; },
  };
}

const round = (x) => (x === null || x === undefined || x === "" ? "" : Math.round(x * 10) / 10);
