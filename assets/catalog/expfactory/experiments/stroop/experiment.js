import { effect } from "/web/measure.js";

const inks = { red: "#c8322b", green: "#2f8f46", blue: "#2d62c4", yellow: "#b98a00" };
const colours = Object.keys(inks);
const keys = { d: "red", f: "green", j: "blue", k: "yellow" };

function list(ctx, n) {
  return ctx.random.balanced(["congruent", "incongruent"], n).map((condition) => {
    const ink = ctx.random.pick(colours);
    const word = condition === "congruent" ? ink : ctx.random.pick(colours.filter((c) => c !== ink));
    return { condition, word, ink, stimulus: `${word} in ${ink}` };
  });
}

const dots = (l) => Object.fromEntries(colours.map((c) => [c, `<span class="ink" style="background:${inks[c]}"></span>${l[c]}`]));

export default {
  parameters: { trials: 96, practice: 12, deadline: 3000 },
  practice: (ctx) => list(ctx, ctx.parameters.practice),
  trials: (ctx) => list(ctx, ctx.parameters.trials),
  trial: (spec, ctx) => ctx.keys({
    stimulus: `<span class="word" style="color:${inks[spec.ink]}">${ctx.t.words[spec.word]}</span>`,
    keys, correct: spec.ink, deadline: ctx.parameters.deadline,
  }),
  row: (data, spec) => ({ word: spec.word, ink: spec.ink }),
  summary: (rows, t) => effect(rows, t, "congruent", "incongruent", t.effect),
  texts: {
    en: {
      title: "Words and colours",
      pages: [
        "<p>You see words, one at a time. Each is written in <b>red</b>, <b>green</b>, <b>blue</b> or <b>yellow</b>.</p><p>Say in which colour the word is <b>written</b>. What it means does not matter.</p>",
        "<p>Put two fingers of each hand on the keys:</p><p class='keylist'><kbd>D</kbd> red <kbd>F</kbd> green <kbd>J</kbd> blue <kbd>K</kbd> yellow</p><p>Answer as fast as you can without making mistakes.</p>",
      ],
      labels: dots({ red: "red", green: "green", blue: "blue", yellow: "yellow" }),
      words: { red: "RED", green: "GREEN", blue: "BLUE", yellow: "YELLOW" },
      congruent: "same", incongruent: "different", effect: "Stroop effect",
      debrief: "<p>Reading happens by itself. When the word means another colour than the one it is written in, the meaning has to be held back, and that takes time. The difference is named after John Ridley Stroop, who described it in 1935.</p>",
    },
    de: {
      title: "Wörter und Farben",
      pages: [
        "<p>Sie sehen Wörter, eines nach dem anderen. Jedes ist in <b>Rot</b>, <b>Grün</b>, <b>Blau</b> oder <b>Gelb</b> geschrieben.</p><p>Geben Sie an, in welcher Farbe das Wort <b>geschrieben</b> ist. Was es bedeutet, spielt keine Rolle.</p>",
        "<p>Legen Sie je zwei Finger beider Hände auf die Tasten:</p><p class='keylist'><kbd>D</kbd> Rot <kbd>F</kbd> Grün <kbd>J</kbd> Blau <kbd>K</kbd> Gelb</p><p>Antworten Sie so schnell wie möglich, ohne Fehler zu machen.</p>",
      ],
      labels: dots({ red: "Rot", green: "Grün", blue: "Blau", yellow: "Gelb" }),
      words: { red: "ROT", green: "GRÜN", blue: "BLAU", yellow: "GELB" },
      congruent: "gleich", incongruent: "verschieden", effect: "Stroop-Effekt",
      debrief: "<p>Lesen geschieht von selbst. Bedeutet das Wort eine andere Farbe als die, in der es geschrieben ist, muss die Bedeutung unterdrückt werden, und das kostet Zeit. Der Unterschied ist nach John Ridley Stroop benannt, der ihn 1935 beschrieb.</p>",
    },
  },
};
