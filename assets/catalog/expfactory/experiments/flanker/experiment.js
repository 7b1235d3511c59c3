import { effect } from "/web/measure.js";

const other = { left: "right", right: "left" };

function list(ctx, n) {
  const kinds = ["congruent", "incongruent"].flatMap((condition) => ["left", "right"].map((target) => ({ condition, target })));
  return ctx.random.balanced(kinds, n).map((kind) => {
    const side = kind.condition === "congruent" ? kind.target : other[kind.target];
    const sign = { left: "<", right: ">" };
    return { ...kind, side, stimulus: sign[side].repeat(2) + sign[kind.target] + sign[side].repeat(2) };
  });
}

function arrows(spec) {
  const one = (to, x) => `<path d="${to === "left" ? "M30 8 10 24 30 40" : "M10 8 30 24 10 40"}" transform="translate(${x} 0)"/>`;
  return `<svg class="arrows" viewBox="0 0 200 48">${[0, 1, 2, 3, 4].map((i) => one(i === 2 ? spec.target : spec.side, i * 40)).join("")}</svg>`;
}

export default {
  parameters: { trials: 80, practice: 10, deadline: 2000 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  trial: (spec, ctx) => ctx.keys({ stimulus: arrows(spec), keys: { f: "left", j: "right" }, correct: spec.target, deadline: ctx.parameters.deadline }),
  row: (data, spec) => ({ target: spec.target }),
  summary: (rows, t) => effect(rows, t, "congruent", "incongruent", t.effect),
  texts: {
    en: {
      title: "Arrows",
      pages: [
        "<p>You see a row of five arrows. Only the one in the <b>middle</b> matters.</p><p class='keylist'><kbd>F</kbd> it points to the left <kbd>J</kbd> it points to the right</p><p>The others may point the same way or the other way: pay no attention to them. Answer as fast as you can without making mistakes.</p>",
      ],
      labels: { left: "left", right: "right" }, congruent: "same way", incongruent: "other way", effect: "Flanker effect",
      debrief: "<p>Attention is like a spotlight that is a little too wide: what stands beside the target is seen as well, and wants an answer of its own. When it is the wrong one, time is lost. Barbara and Charles Eriksen showed this in 1974.</p>",
    },
    de: {
      title: "Pfeile",
      pages: [
        "<p>Sie sehen eine Reihe von fünf Pfeilen. Nur der in der <b>Mitte</b> zählt.</p><p class='keylist'><kbd>F</kbd> er zeigt nach links <kbd>J</kbd> er zeigt nach rechts</p><p>Die anderen zeigen in dieselbe oder in die andere Richtung: Achten Sie nicht auf sie. Antworten Sie so schnell wie möglich, ohne Fehler zu machen.</p>",
      ],
      labels: { left: "links", right: "rechts" }, congruent: "gleiche Richtung", incongruent: "andere Richtung", effect: "Flanker-Effekt",
      debrief: "<p>Aufmerksamkeit ist wie ein Scheinwerfer, der etwas zu breit leuchtet: Was neben dem Ziel steht, wird mitgesehen und verlangt nach einer eigenen Antwort. Ist es die falsche, kostet das Zeit. Barbara und Charles Eriksen zeigten das 1974.</p>",
    },
  },
};
