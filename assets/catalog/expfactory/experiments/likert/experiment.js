import { mean, numbers } from "/web/measure.js";

// The statements, beside this file.
const form = await (await fetch(new URL("items.json", import.meta.url))).json();
const points = form.labels.en.length;
const own = (x, ctx) => x[ctx.language] ?? x.en;

export default {
  parameters: { rest: 0 },
  // A trial is a page of statements.
  trials: () => Array.from({ length: Math.ceil(form.items.length / form.pages) }, (_, i) => ({ items: form.items.slice(i * form.pages, (i + 1) * form.pages) })),
  rows: (spec) => spec.items.length,
  trial(spec, ctx) {
    let appeared = 0;
    return {
      type: window.jsPsychSurveyLikert, button_label: ctx.t.next, scale_width: 560,
      preamble: `<p class="ask">${ctx.t.ask}</p>`,
      questions: spec.items.map((i) => ({ prompt: own(i, ctx), name: i.id, required: true, labels: own(form.labels, ctx) })),
      on_load: () => requestAnimationFrame((time) => {
        appeared = time;
        window.dispatchEvent(new CustomEvent("stimulus", { detail: { onset: time } }));
      }),
      on_finish(data) {
        data.rows = spec.items.map((item) => ({ item, number: form.items.indexOf(item) + 1, response: data.response[item.id] + 1, rt: data.rt, onset: appeared }));
      },
    };
  },
  row: ({ item, response }, spec, ctx) => ({
    item: item.id, condition: item.scale, stimulus: own(item, ctx), reversed: item.reversed ? 1 : 0,
    score: item.reversed ? points + 1 - response : response,
  }),
  summary(rows, t) {
    const language = t.language;
    const scales = Object.entries(form.scales).map(([key, label]) => ({ key, label: label[language] ?? label.en, values: numbers(rows.filter((r) => r.condition === key).map((r) => r.score)) }));
    return {
      measures: scales.map((s) => ({ key: s.key, label: s.label, value: mean(s.values), digits: 2 })),
      plot: { kind: "groups", unit: "1–5", groups: scales },
    };
  },
  texts: {
    en: {
      title: "About yourself", language: "en",
      pages: ["<p>You read twenty short statements. Say how well each describes you, as you are now, not as you wish to be.</p><p>There are no right or wrong answers, and so there is no practice.</p>"],
      ask: "How accurately does this describe you? I …",
      debrief: "<p>These were the twenty statements of the Mini-IPIP, a short form for five broad traits of personality, from 1 (low) to 5 (high). Twenty statements give a rough picture of a group, not a judgement of a person.</p>",
    },
    de: {
      title: "Über Sie selbst", language: "de",
      pages: ["<p>Sie lesen zwanzig kurze Aussagen. Geben Sie an, wie gut jede Sie beschreibt, so wie Sie sind, nicht wie Sie gern wären.</p><p>Es gibt keine richtigen oder falschen Antworten und deshalb auch keine Übung.</p>"],
      ask: "Wie genau trifft das auf Sie zu? Ich …",
      debrief: "<p>Das waren die zwanzig Aussagen des Mini-IPIP, einer Kurzform für fünf breite Züge der Persönlichkeit, von 1 (niedrig) bis 5 (hoch). Zwanzig Aussagen geben ein grobes Bild einer Gruppe, kein Urteil über einen Menschen. Die deutsche Übersetzung ist nicht normiert.</p>",
    },
  },
};
