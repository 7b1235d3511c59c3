import { mean, numbers, rate, times, where } from "/web/measure.js";

function list(ctx, n) {
  return ctx.random.balanced(["go", "go", "go", "stop"], n).map((condition) => {
    const target = ctx.random.pick(["left", "right"]);
    return { condition, target, stimulus: target };
  });
}

const arrow = (to, stop) => `<svg class="arrows big${stop ? " stop" : ""}" viewBox="0 0 60 48"><path d="${to === "left" ? "M54 24H8M26 6 8 24 26 42" : "M6 24H52M34 6 52 24 34 42"}"/></svg>`;
const delay = (ctx) => (ctx.state.delay ??= 250);

// The stop-signal reaction time by the integration method (Verbruggen et al. 2019, eLife 8:e46323): the go time at the
// share of stop trials that were answered, with missing go answers counted as the slowest, minus the mean delay.
export function ssrt(rows) {
  const go = where(rows, "go"), stop = where(rows, "stop");
  const answered = numbers(go.map((r) => r.rt_ms));
  if (!answered.length || !stop.length) return null;
  const slowest = Math.max(...answered);
  const sorted = go.map((r) => (r.rt_ms === "" || r.rt_ms === null ? slowest : Number(r.rt_ms))).sort((a, b) => a - b);
  const p = stop.filter((r) => r.response !== "" && r.response !== null).length / stop.length;
  if (p === 0 || p === 1) return null;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] - mean(numbers(stop.map((r) => r.ssd_ms)));
}

export default {
  parameters: { trials: 128, practice: 16, deadline: 1500, rest: 64 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  trial: (spec, ctx) => ctx.keys({
    stimulus: arrow(spec.target, false), keys: { f: "left", j: "right" }, deadline: ctx.parameters.deadline,
    correct: spec.condition === "go" ? spec.target : null,
    changes: () => {
      spec.ssd = spec.condition === "stop" ? (ctx.practising ? 200 : delay(ctx)) : null;
      return spec.ssd === null ? [] : [{ at: spec.ssd, html: arrow(spec.target, true) }];
    },
  }),
  row: (data, spec) => ({ ssd_ms: spec.ssd ?? "", target: spec.target }),
  after(row, ctx) {
    if (row.condition !== "stop") return;
    // 50 ms later after a success, 50 ms earlier after a failure: half of the stop trials succeed.
    ctx.state.delay = Math.min(1000, Math.max(50, delay(ctx) + (row.response === "" ? 50 : -50)));
  },
  summary(rows, t) {
    const stop = where(rows, "stop"), go = where(rows, "go");
    return {
      measures: [
        { key: "ssrt", label: t.ssrt, value: ssrt(rows), unit: "ms", digits: 0 },
        { key: "rt_go", label: t.goTime, value: mean(times(go)), unit: "ms", digits: 0 },
        { key: "stopped", label: t.stopped, value: rate(stop), unit: "%", digits: 0 },
        { key: "accuracy_go", label: t.goRight, value: rate(go), unit: "%", digits: 0 },
        { key: "ssd", label: t.ssd, value: mean(numbers(stop.map((r) => r.ssd_ms))), unit: "ms", digits: 0 },
      ],
      plot: { kind: "lines", x: t.stopTrial, y: "ms", series: [{ label: t.ssd, points: stop.map((r, i) => [i + 1, Number(r.ssd_ms)]) }] },
    };
  },
  texts: {
    en: {
      title: "Stop!",
      pages: [
        "<p>An arrow appears. Answer as fast as you can where it points:</p><p class='keylist'><kbd>F</kbd> left <kbd>J</kbd> right</p>",
        "<p>Sometimes the arrow turns <b class='stopword'>red and thick</b> shortly after it appeared. Then try <b>not to press</b> at all.</p><p>You will succeed about every other time: the signal comes later when you are good. Do not wait for it, speed matters as much as stopping.</p>",
      ],
      labels: { left: "left", right: "right" }, ssrt: "Stop-signal reaction time", goTime: "Mean time when nothing stopped you", stopped: "Stopped", goRight: "Right when nothing stopped you",
      ssd: "Delay of the signal", stopTrial: "Stop trial",
      debrief: "<p>An action and its stopping run a race. From how late the signal may come, one can tell how long stopping takes, although nobody can see it: this is the stop-signal reaction time, usually 200 to 300 milliseconds.</p>",
    },
    de: {
      title: "Halt!",
      pages: [
        "<p>Ein Pfeil erscheint. Geben Sie so schnell wie möglich an, wohin er zeigt:</p><p class='keylist'><kbd>F</kbd> links <kbd>J</kbd> rechts</p>",
        "<p>Manchmal wird der Pfeil kurz nach dem Erscheinen <b class='stopword'>rot und dick</b>. Versuchen Sie dann, <b>gar nicht zu drücken</b>.</p><p>Das gelingt etwa jedes zweite Mal: Je besser Sie sind, desto später kommt das Signal. Warten Sie nicht darauf, Schnelligkeit zählt so viel wie das Anhalten.</p>",
      ],
      labels: { left: "links", right: "rechts" }, ssrt: "Stopp-Signal-Reaktionszeit", goTime: "Mittlere Zeit ohne Signal", stopped: "Angehalten", goRight: "Richtig ohne Signal",
      ssd: "Verzögerung des Signals", stopTrial: "Stopp-Durchgang",
      debrief: "<p>Eine Handlung und ihr Anhalten laufen um die Wette. Daraus, wie spät das Signal kommen darf, lässt sich schließen, wie lange das Anhalten dauert, obwohl es niemand sehen kann: Das ist die Stopp-Signal-Reaktionszeit, meist 200 bis 300 Millisekunden.</p>",
    },
  },
};
