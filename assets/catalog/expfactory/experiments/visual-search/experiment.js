import { mean, rate, times, where } from "/web/measure.js";

const sizes = [4, 8, 16];

function list(ctx, n) {
  const kinds = sizes.flatMap((size) => ["present", "absent"].map((condition) => ({ condition, size })));
  return ctx.random.balanced(kinds, n).map((kind) => {
    // Places on a grid of 6 by 5, moved a little.
    const cells = ctx.random.shuffle([...Array(30).keys()]).slice(0, kind.size);
    const items = cells.map((c, i) => ({
      x: 40 + (c % 6) * 80 + ctx.random.below(31) - 15, y: 40 + Math.floor(c / 6) * 70 + ctx.random.below(25) - 12,
      turn: 90 * ctx.random.below(4), target: i === 0 && kind.condition === "present",
    }));
    return { ...kind, items, stimulus: `${kind.condition} ${kind.size}` };
  });
}

function field(spec) {
  const one = (i) => `<path d="${i.target ? "M-12-12H12M0-12V14" : "M-10-13V12H12"}" transform="translate(${i.x} ${i.y}) rotate(${i.turn})"/>`;
  return `<svg class="field" viewBox="0 0 480 360">${spec.items.map(one).join("")}</svg>`;
}

// Slope of a line through points, by least squares: milliseconds per item.
function slope(points) {
  const x = mean(points.map((p) => p[0])), y = mean(points.map((p) => p[1]));
  const across = points.reduce((s, p) => s + (p[0] - x) ** 2, 0);
  return across ? points.reduce((s, p) => s + (p[0] - x) * (p[1] - y), 0) / across : null;
}

export default {
  parameters: { trials: 96, practice: 12, deadline: 8000, rest: 48 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  trial: (spec, ctx) => ctx.keys({ stimulus: field(spec), keys: { f: "absent", j: "present" }, correct: spec.condition, deadline: ctx.parameters.deadline }),
  row: (data, spec) => ({ set_size: spec.size }),
  summary(rows, t) {
    const series = ["present", "absent"].map((condition) => ({
      condition, label: t[condition],
      points: sizes.map((s) => [s, mean(times(where(rows, condition).filter((r) => Number(r.set_size) === s)))]).filter((p) => p[1] !== null),
    }));
    return {
      measures: [
        { key: "accuracy", label: t.accuracy, value: rate(rows), unit: "%", digits: 0 },
        ...series.map((s) => ({ key: `slope_${s.condition}`, label: `${t.slope}, ${s.label}`, value: s.points.length > 1 ? slope(s.points) : null, unit: "ms", digits: 1 })),
      ],
      plot: { kind: "lines", x: t.setSize, y: "ms", series },
    };
  },
  texts: {
    en: {
      title: "Search",
      pages: ["<p>You see letters, turned in all directions. Is there a <b>T</b> among the <b>L</b>s?</p><p class='keylist'><kbd>F</kbd> no <kbd>J</kbd> yes</p><p>Answer as fast as you can without making mistakes.</p>"],
      labels: { present: "there is a T", absent: "only L" }, present: "with T", absent: "without T", slope: "Per letter", setSize: "number of letters",
      debrief: "<p>A T among Ls does not leap to the eye: attention goes from letter to letter. Each one takes time, and to be sure that there is no T takes about twice as much. The slope of the line shows how fast it searches.</p>",
    },
    de: {
      title: "Suchen",
      pages: ["<p>Sie sehen Buchstaben, in alle Richtungen gedreht. Ist unter den <b>L</b> ein <b>T</b>?</p><p class='keylist'><kbd>F</kbd> nein <kbd>J</kbd> ja</p><p>Antworten Sie so schnell wie möglich, ohne Fehler zu machen.</p>"],
      labels: { present: "ein T ist dabei", absent: "nur L" }, present: "mit T", absent: "ohne T", slope: "Je Buchstabe", setSize: "Zahl der Buchstaben",
      debrief: "<p>Ein T unter L springt nicht ins Auge: Die Aufmerksamkeit geht von Buchstabe zu Buchstabe. Jeder kostet Zeit, und sicher zu sein, dass kein T da ist, etwa doppelt so viel. Die Steigung der Linie zeigt, wie schnell gesucht wird.</p>",
    },
  },
};
