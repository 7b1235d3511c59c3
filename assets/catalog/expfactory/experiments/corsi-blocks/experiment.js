import { SpanTask, ladder, spanSummary } from "/web/spantask.js";

const blocks = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const steps = ladder({ from: 2, to: 9 });

export default {
  parameters: { trials: 16, direction: "forward", pace: 1000, rest: 0 },
  practice: (ctx) => [2, 2].map((length, i) => ({ condition: ctx.parameters.direction, length, number: 900 + i })),
  trials: (ctx) => Array.from({ length: ctx.parameters.trials }, (_, number) => ({ condition: ctx.parameters.direction, number })),
  trial(spec, ctx) {
    return {
      type: SpanTask, kind: "blocks", texts: ctx.t, feedback: () => ctx.practising, pace: ctx.parameters.pace,
      sequence() {
        spec.size = spec.length ?? steps.length(ctx.state);
        spec.sequence = ctx.chance(spec.number).shuffle(blocks).slice(0, spec.size);
        spec.stimulus = spec.sequence.join("");
        return spec.sequence;
      },
      correct: () => (ctx.parameters.direction === "backward" ? [...spec.sequence].reverse() : spec.sequence),
    };
  },
  row: (data, spec) => ({ length: spec.size }),
  after: (row, ctx) => steps.after(row, ctx),
  summary: (rows, t) => spanSummary(rows, t, t.blocks),
  texts: {
    en: {
      title: "Blocks",
      pages: ["<p>Nine blocks lie on the table. Some light up, one after the other.</p><p>When they have ended, click them in the <b>same order</b>. If the screen says backwards, begin with the last.</p><p>It starts with two blocks and gets longer while you remember them. It ends when two of the same length went wrong.</p>"],
      blocks: "blocks", forward: "Click the blocks in their order", backward: "Click the blocks backwards",
      debrief: "<p>Philip Corsi built this task in 1972 from nine wooden cubes, to measure the memory for places as the digit span does for words. Most people remember five to six blocks.</p>",
    },
    de: {
      title: "Blöcke",
      pages: ["<p>Neun Blöcke liegen auf dem Tisch. Einige leuchten auf, einer nach dem anderen.</p><p>Klicken Sie sie danach in <b>derselben Reihenfolge</b> an. Steht dort rückwärts, beginnen Sie mit dem letzten.</p><p>Es beginnt mit zwei Blöcken, und es werden mehr, solange Sie sie behalten. Es endet, wenn zwei von gleicher Länge misslungen sind.</p>"],
      blocks: "Blöcke", forward: "Klicken Sie die Blöcke in ihrer Reihenfolge an", backward: "Klicken Sie die Blöcke rückwärts an",
      debrief: "<p>Philip Corsi baute diese Aufgabe 1972 aus neun Holzwürfeln, um das Gedächtnis für Orte so zu messen, wie die Zahlenspanne es für Wörter tut. Die meisten behalten fünf bis sechs Blöcke.</p>",
    },
  },
};
