import { effect } from "/web/measure.js";

const answers = { parity: (d) => (d % 2 ? "left" : "right"), size: (d) => (d < 5 ? "left" : "right") };

function list(ctx, n) {
  const kinds = ctx.random.balanced(["repeat", "switch"], Math.max(0, n - 1));
  let task = ctx.random.pick(["parity", "size"]), before = 0;
  return Array.from({ length: n }, (_, i) => {
    const condition = i === 0 ? "first" : kinds[i - 1];
    if (condition === "switch") task = task === "parity" ? "size" : "parity";
    const digit = ctx.random.pick([1, 2, 3, 4, 6, 7, 8, 9].filter((d) => d !== before));
    before = digit;
    return { condition, task, digit, stimulus: String(digit), congruent: answers.parity(digit) === answers.size(digit) ? 1 : 0 };
  });
}

const show = (spec, t, digit) => `<div class="cue ${spec.task}"><small>${t.tasks[spec.task]}</small><span>${digit}</span></div>`;

export default {
  parameters: { trials: 96, practice: 16, deadline: 4000, cue: 500 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  // After an interruption there is no task of the trial before to repeat or to leave.
  afresh: (spec, i) => { if (i === 0) spec.condition = "first"; },
  trial: (spec, ctx) => ctx.keys({
    fixation: ctx.parameters.cue, before: show(spec, ctx.t, "&nbsp;"), stimulus: show(spec, ctx.t, spec.digit),
    keys: { f: "left", j: "right" }, correct: answers[spec.task](spec.digit), deadline: ctx.parameters.deadline,
  }),
  row: (data, spec) => ({ task: spec.task, congruent: spec.congruent }),
  summary: (rows, t) => effect(rows, t, "repeat", "switch", t.effect),
  texts: {
    en: {
      title: "Two tasks",
      pages: [
        "<p>A digit appears in a frame. The frame says what is asked:</p><div class='two'><div class='cue parity'><small>odd or even?</small><span>7</span></div><div class='cue size'><small>small or large?</small><span>7</span></div></div>",
        "<p>In the <b>round</b> frame: <kbd>F</kbd> odd, <kbd>J</kbd> even.</p><p>In the <b>square</b> frame: <kbd>F</kbd> smaller than 5, <kbd>J</kbd> larger than 5.</p><p>Answer as fast as you can without making mistakes.</p>",
      ],
      tasks: { parity: "odd or even?", size: "small or large?" }, labels: { left: "odd · small", right: "even · large" },
      repeat: "same task", switch: "new task", effect: "Switch cost",
      debrief: "<p>Whoever changes the task has to put another rule in place first. This costs time even with practice and with warning: the switch cost.</p>",
    },
    de: {
      title: "Zwei Aufgaben",
      pages: [
        "<p>Eine Ziffer erscheint in einem Rahmen. Der Rahmen sagt, was gefragt ist:</p><div class='two'><div class='cue parity'><small>ungerade oder gerade?</small><span>7</span></div><div class='cue size'><small>klein oder groß?</small><span>7</span></div></div>",
        "<p>Im <b>runden</b> Rahmen: <kbd>F</kbd> ungerade, <kbd>J</kbd> gerade.</p><p>Im <b>eckigen</b> Rahmen: <kbd>F</kbd> kleiner als 5, <kbd>J</kbd> größer als 5.</p><p>Antworten Sie so schnell wie möglich, ohne Fehler zu machen.</p>",
      ],
      tasks: { parity: "ungerade oder gerade?", size: "klein oder groß?" }, labels: { left: "ungerade · klein", right: "gerade · groß" },
      repeat: "gleiche Aufgabe", switch: "neue Aufgabe", effect: "Wechselkosten",
      debrief: "<p>Wer die Aufgabe wechselt, muss zuerst eine andere Regel bereitlegen. Das kostet selbst mit Übung und Vorwarnung Zeit: die Wechselkosten.</p>",
    },
  },
};
