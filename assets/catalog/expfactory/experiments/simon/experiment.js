import { effect } from "/web/measure.js";

const home = { circle: "left", square: "right" };

function list(ctx, n) {
  const kinds = ["circle", "square"].flatMap((shape) => ["left", "right"].map((side) => ({ shape, side })));
  return ctx.random.balanced(kinds, n).map((k) => ({ ...k, condition: home[k.shape] === k.side ? "congruent" : "incongruent", stimulus: `${k.shape} ${k.side}` }));
}

export default {
  parameters: { trials: 80, practice: 10, deadline: 2000 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  trial: (spec, ctx) => ctx.keys({
    stimulus: `<div class="sides"><span class="shape ${spec.shape}" style="grid-column:${spec.side === "left" ? 1 : 3}"></span></div>`,
    keys: { f: "circle", j: "square" }, correct: spec.shape, deadline: ctx.parameters.deadline,
  }),
  row: (data, spec) => ({ shape: spec.shape, side: spec.side }),
  summary: (rows, t) => effect(rows, t, "congruent", "incongruent", t.effect),
  texts: {
    en: {
      title: "Circles and squares",
      pages: [
        "<p>A circle or a square appears, on the left or on the right. Only the <b>shape</b> matters:</p><p class='keylist'><kbd>F</kbd> circle <kbd>J</kbd> square</p><p>Answer as fast as you can without making mistakes.</p>",
      ],
      labels: { circle: "circle", square: "square" }, congruent: "same side", incongruent: "other side", effect: "Simon effect",
      debrief: "<p>We tend to react towards what we see. A shape on the side of its key is answered faster than one on the other side, although the side says nothing. The effect bears the name of J. Richard Simon.</p>",
    },
    de: {
      title: "Kreise und Quadrate",
      pages: [
        "<p>Ein Kreis oder ein Quadrat erscheint, links oder rechts. Nur die <b>Form</b> zählt:</p><p class='keylist'><kbd>F</kbd> Kreis <kbd>J</kbd> Quadrat</p><p>Antworten Sie so schnell wie möglich, ohne Fehler zu machen.</p>",
      ],
      labels: { circle: "Kreis", square: "Quadrat" }, congruent: "gleiche Seite", incongruent: "andere Seite", effect: "Simon-Effekt",
      debrief: "<p>Wir neigen dazu, auf das zuzugehen, was wir sehen. Eine Form auf der Seite ihrer Taste wird schneller beantwortet als auf der anderen, obwohl die Seite nichts bedeutet. Der Effekt trägt den Namen von J. Richard Simon.</p>",
    },
  },
};
