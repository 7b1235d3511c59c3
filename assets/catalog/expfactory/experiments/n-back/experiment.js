import { dPrime, mean, rate, times, where } from "/web/measure.js";

const letters = [..."BCDFGHJKLMNPQRSTVWXZ"];

function list(ctx, count) {
  const n = ctx.parameters.n;
  const kinds = ctx.random.balanced(["target", "other", "other"], Math.max(0, count - n));
  const shown = [];
  for (let i = 0; i < count; i++) {
    const condition = i < n ? "first" : kinds[i - n];
    const back = shown[i - n];
    shown.push(condition === "target" ? back : ctx.random.pick(letters.filter((l) => l !== back)));
  }
  // The first n have nothing to be compared with: they are no trials of the one kind or the other.
  return shown.map((stimulus, i) => ({ stimulus, condition: i < n ? "first" : stimulus === shown[i - n] ? "target" : "other", n }));
}

// "two steps", and a row of letters in which the last is the same as the one n before.
const counts = { en: ["one", "two", "three", "four", "five"], de: ["einem", "zwei", "drei", "vier", "fünf"] };
function wording({ parameters: { n }, language }) {
  const count = counts[language][n - 1] ?? String(n);
  const row = [..."KTRMPLQSWC"].slice(0, n > 8 ? 0 : n + 1);
  const series = row.length ? `${row.map((l, i) => (i === 1 ? `<b>${l}</b>` : l)).join(" ")} <b>${row[1]}</b>` : "…";
  return { series, steps: language === "de" ? `${count} ${n === 1 ? "Schritt" : "Schritten"}` : `${count} ${n === 1 ? "step" : "steps"}` };
}

export default {
  parameters: { trials: 90, practice: 20, n: 2, pace: 2500, rest: 0 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  wording,
  // After an interruption nobody knows the letters before it.
  afresh: (spec, i) => { if (i < spec.n) spec.condition = "first"; },
  trial: (spec, ctx) => ctx.keys({
    stimulus: `<span class="letter">${spec.stimulus}</span>`, fixation: 0, duration: 500, deadline: ctx.parameters.pace, paced: true, pause: 0,
    keys: { " ": "same" }, correct: spec.condition === "target" ? "same" : null,
  }),
  row: (data, spec) => ({ n: spec.n }),
  summary(rows, t) {
    rows = rows.filter((r) => r.condition !== "first");
    const targets = where(rows, "target"), others = where(rows, "other");
    const hits = targets.filter((r) => r.response === "same"), alarms = others.filter((r) => r.response === "same");
    return {
      measures: [
        { key: "accuracy", label: t.accuracy, value: rate(rows), unit: "%", digits: 0 },
        { key: "hits", label: t.hits, value: targets.length ? hits.length / targets.length : null, unit: "%", digits: 0 },
        { key: "false_alarms", label: t.alarms, value: others.length ? alarms.length / others.length : null, unit: "%", digits: 0 },
        { key: "d_prime", label: t.dprime, value: dPrime(hits.length, targets.length, alarms.length, others.length), digits: 2 },
        { key: "rt_hits", label: t.meanRT, value: mean(times(hits)), unit: "ms", digits: 0 },
      ],
      plot: { kind: "groups", unit: "ms", groups: [{ label: t.hits, values: times(hits) }] },
    };
  },
  texts: {
    en: {
      title: "Letters in a row",
      pages: [
        "<p>Letters appear one after the other. Press the <kbd>space bar</kbd> whenever a letter is the same as the one <b>{steps} ago</b>. Otherwise press nothing.</p><p class='series'>{series} ← press here</p><p>The letters go on at their own pace.</p>",
      ],
      labels: { same: "same as {steps} ago" }, hits: "Found", alarms: "Pressed wrongly", dprime: "Sensitivity d′",
      debrief: "<p>This task keeps your working memory busy: the last letters must be held, compared, and replaced with every step. It is used wherever the load of memory is to be varied while everything else stays the same.</p>",
    },
    de: {
      title: "Buchstaben in einer Reihe",
      pages: [
        "<p>Buchstaben erscheinen einer nach dem anderen. Drücken Sie die <kbd>Leertaste</kbd>, wenn ein Buchstabe derselbe ist wie <b>vor {steps}</b>. Sonst drücken Sie nichts.</p><p class='series'>{series} ← hier drücken</p><p>Die Buchstaben gehen in ihrem eigenen Takt weiter.</p>",
      ],
      labels: { same: "wie vor {steps}" }, hits: "Gefunden", alarms: "Falsch gedrückt", dprime: "Empfindlichkeit d′",
      debrief: "<p>Diese Aufgabe hält Ihr Arbeitsgedächtnis in Bewegung: Die letzten Buchstaben müssen behalten, verglichen und mit jedem Schritt ersetzt werden. Sie wird benutzt, wo die Last des Gedächtnisses verändert werden soll, während alles andere gleich bleibt.</p>",
    },
  },
};
