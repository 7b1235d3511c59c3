import { dPrime, mean, rate, times, where } from "/web/measure.js";

const list = (ctx, n) => ctx.random.balanced(["go", "go", "go", "go", "nogo"], n).map((condition) => ({ condition, stimulus: condition === "go" ? "circle" : "square" }));

export default {
  parameters: { trials: 120, practice: 15, pace: 1200 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  trial: (spec, ctx) => ctx.keys({
    stimulus: `<span class="shape ${spec.stimulus}"></span>`, fixation: 400, duration: 400, deadline: ctx.parameters.pace, paced: true, pause: 100,
    keys: { " ": "press" }, correct: spec.condition === "go" ? "press" : null,
  }),
  summary(rows, t) {
    const go = where(rows, "go"), nogo = where(rows, "nogo");
    const hits = go.filter((r) => r.response === "press"), alarms = nogo.filter((r) => r.response === "press");
    return {
      measures: [
        { key: "commissions", label: t.commissions, value: nogo.length ? alarms.length / nogo.length : null, unit: "%", digits: 0 },
        { key: "omissions", label: t.omissions, value: go.length ? 1 - rate(go) : null, unit: "%", digits: 0 },
        { key: "d_prime", label: t.dprime, value: dPrime(hits.length, go.length, alarms.length, nogo.length), digits: 2 },
        { key: "rt_go", label: t.meanRT, value: mean(times(go)), unit: "ms", digits: 0 },
      ],
      plot: { kind: "groups", unit: "ms", groups: [{ label: t.go, values: times(go) }] },
    };
  },
  texts: {
    en: {
      title: "Press or not",
      pages: ["<p>Press the <kbd>space bar</kbd> as fast as you can for every <b>circle</b>.</p><p>Do <b>not</b> press for a <b>square</b>.</p><div class='sides'><span class='shape circle'></span><span class='shape square' style='grid-column:3'></span></div>"],
      labels: { press: "circle" }, commissions: "Pressed for a square", omissions: "Missed circles", dprime: "Sensitivity d′", go: "circles",
      debrief: "<p>When nearly everything asks for the same answer, it becomes a habit within minutes. Holding it back for a rare exception then takes effort: pressed squares are its failures.</p>",
    },
    de: {
      title: "Drücken oder nicht",
      pages: ["<p>Drücken Sie bei jedem <b>Kreis</b> so schnell wie möglich die <kbd>Leertaste</kbd>.</p><p>Drücken Sie bei einem <b>Quadrat nicht</b>.</p><div class='sides'><span class='shape circle'></span><span class='shape square' style='grid-column:3'></span></div>"],
      labels: { press: "Kreis" }, commissions: "Beim Quadrat gedrückt", omissions: "Kreise verpasst", dprime: "Empfindlichkeit d′", go: "Kreise",
      debrief: "<p>Wenn fast alles dieselbe Antwort verlangt, wird sie binnen Minuten zur Gewohnheit. Sie bei einer seltenen Ausnahme zu unterdrücken kostet dann Mühe: Gedrückte Quadrate sind die Fehlschläge.</p>",
    },
  },
};
