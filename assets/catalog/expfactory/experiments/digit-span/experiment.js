import { SpanTask, ladder, spanSummary } from "/web/spantask.js";

const digits = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const steps = ladder({ from: 3, to: 10 });
const asked = (ctx, list) => (ctx.parameters.direction === "backward" ? [...list].reverse() : list);

export default {
  parameters: { trials: 16, direction: "forward", pace: 1000, rest: 0 },
  practice: (ctx) => [2, 2].map((length, i) => ({ condition: ctx.parameters.direction, length, number: 900 + i })),
  trials: (ctx) => Array.from({ length: ctx.parameters.trials }, (_, number) => ({ condition: ctx.parameters.direction, number })),
  trial(spec, ctx) {
    return {
      type: SpanTask, kind: "digits", texts: ctx.t, feedback: () => ctx.practising, pace: ctx.parameters.pace,
      sequence() {
        spec.size = spec.length ?? steps.length(ctx.state);
        const list = ctx.chance(spec.number).shuffle(digits);
        spec.sequence = Array.from({ length: spec.size }, (_, i) => list[i % 9]);
        spec.stimulus = spec.sequence.join("");
        return spec.sequence;
      },
      correct: () => asked(ctx, spec.sequence),
    };
  },
  row: (data, spec) => ({ length: spec.size }),
  after: (row, ctx) => steps.after(row, ctx),
  summary: (rows, t) => spanSummary(rows, t, t.digits),
  texts: {
    en: {
      title: "Digits",
      pages: [
        "<p>Digits appear one after the other. Remember them in their order.</p><p>Then enter them, with the keys of your keyboard or on the screen, and end with <kbd>Enter</kbd>. If the screen says <b>backwards</b>, begin with the last.</p><p>It starts with three digits and gets longer while you remember them. It ends when two of the same length went wrong.</p>",
      ],
      digits: "digits", forward: "Enter the digits", backward: "Enter the digits backwards", done: "Enter", erase: "Delete",
      debrief: "<p>The span of what we can hold for a moment is short: around seven digits, as George Miller wrote in 1956. Backwards it is one or two less, as the digits must be turned round as well.</p>",
    },
    de: {
      title: "Ziffern",
      pages: [
        "<p>Ziffern erscheinen eine nach der anderen. Merken Sie sich ihre Reihenfolge.</p><p>Geben Sie sie dann ein, mit der Tastatur oder auf dem Bildschirm, und schließen Sie mit der <kbd>Eingabetaste</kbd> ab. Steht dort <b>rückwärts</b>, beginnen Sie mit der letzten.</p><p>Es beginnt mit drei Ziffern, und es werden mehr, solange Sie sie behalten. Es endet, wenn zwei von gleicher Länge misslungen sind.</p>",
      ],
      digits: "Ziffern", forward: "Geben Sie die Ziffern ein", backward: "Geben Sie die Ziffern rückwärts ein", done: "Fertig", erase: "Löschen",
      debrief: "<p>Was wir für einen Augenblick behalten können, ist wenig: etwa sieben Ziffern, wie George Miller 1956 schrieb. Rückwärts sind es eine oder zwei weniger, denn die Ziffern müssen auch noch umgedreht werden.</p>",
    },
  },
};
