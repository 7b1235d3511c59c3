import { mean, numbers } from "/web/measure.js";

// Losses within every ten cards of a deck (Bechara et al. 1994); their order is by chance.
const decks = {
  A: { gain: 100, losses: [150, 200, 250, 300, 350, 0, 0, 0, 0, 0] },
  B: { gain: 100, losses: [1250, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
  C: { gain: 50, losses: [25, 50, 50, 50, 75, 0, 0, 0, 0, 0] },
  D: { gain: 50, losses: [250, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
};
const names = Object.keys(decks);
const good = (deck) => deck === "C" || deck === "D";

// The next card of a deck, after so many.
function draw(ctx, deck, taken) {
  const order = ctx.chance(1000 * (names.indexOf(deck) + 1) + Math.floor(taken / 10)).shuffle(decks[deck].losses);
  return { gain: decks[deck].gain, loss: order[taken % 10] };
}

function game(ctx) {
  return (ctx.state.game ??= { balance: ctx.parameters.money, taken: { A: 0, B: 0, C: 0, D: 0 }, last: null });
}

const money = (n) => String(n).replace("-", "−");

function table(ctx) {
  const g = game(ctx);
  const last = g.last ? `<span class="won">+${g.last.gain}</span>${g.last.loss ? ` <span class="lost">−${g.last.loss}</span>` : ""}` : "&nbsp;";
  return `<p class="ask">${ctx.t.choose}</p><p class="balance"><small>${ctx.t.balance}</small> <b>${money(g.balance)}</b></p><p class="outcome">${last}</p>`;
}

export default {
  parameters: { trials: 100, money: 2000, rest: 0 },
  trials: (ctx) => Array.from({ length: ctx.parameters.trials }, () => ({})),
  trial(spec, ctx) {
    let appeared = 0;
    return {
      type: window.jsPsychHtmlButtonResponse, stimulus: () => table(ctx), choices: names,
      button_html: (name) => `<button type="button" class="deck" data-deck="${name}"><span>${name}</span></button>`,
      button_layout: "flex", enable_button_after: 250,
      on_load: () => requestAnimationFrame((time) => {
        appeared = time;
        window.dispatchEvent(new CustomEvent("stimulus", { detail: { onset: time } }));
      }),
      on_finish(data) {
        const deck = names[data.response], g = game(ctx);
        const card = draw(ctx, deck, g.taken[deck]);
        Object.assign(data, { deck, ...card, balance: g.balance + card.gain - card.loss, response: deck, onset: appeared, correct: "" });
        spec.condition = good(deck) ? "advantageous" : "disadvantageous";
      },
    };
  },
  row: (data) => ({ gain: data.gain, loss: data.loss, balance: data.balance }),
  after(row, ctx) {
    const g = game(ctx);
    g.taken[row.response]++;
    g.balance = Number(row.balance);
    g.last = { gain: Number(row.gain), loss: Number(row.loss) };
  },
  summary(rows, t) {
    const size = Math.max(1, Math.ceil(rows.length / 5));
    const blocks = [];
    for (let i = 0; i < rows.length; i += size) {
      const part = rows.slice(i, i + size);
      const share = part.filter((r) => good(r.response)).length;
      blocks.push([blocks.length + 1, share - (part.length - share)]);
    }
    const goodOnes = rows.filter((r) => good(r.response)).length;
    return {
      measures: [
        { key: "balance", label: t.balance, value: rows.length ? Number(rows.at(-1).balance) : null, digits: 0 },
        { key: "net", label: t.net, value: goodOnes - (rows.length - goodOnes), digits: 0 },
        { key: "rt", label: t.time, value: mean(numbers(rows.map((r) => r.rt_ms))), unit: "ms", digits: 0 },
      ],
      plot: { kind: "lines", x: t.block, y: "(C+D) − (A+B)", zero: true, series: [{ label: t.net, points: blocks }] },
    };
  },
  texts: {
    en: {
      title: "Four decks",
      pages: [
        "<p>Before you lie four decks of cards, A to D. Choose one, again and again, and take its upper card.</p><p>Every card wins you money; some also lose you money. You begin with 2000 of play money. <b>Win as much as you can.</b></p>",
        "<p>Some decks are better than others. You may change the deck whenever you like. The game is not about speed, and there is no practice: learning is the task.</p>",
      ],
      choose: "Choose a deck", balance: "Money", net: "Good minus bad decks", time: "Mean time of a choice",
      debrief: "<p>A and B win more with each card and lose more in the long run; C and D win little and pay off. Most people come to prefer the good decks before they can say why. The task was made to study decisions of patients with injuries of the frontal lobe.</p>",
    },
    de: {
      title: "Vier Stapel",
      pages: [
        "<p>Vor Ihnen liegen vier Kartenstapel, A bis D. Wählen Sie immer wieder einen und nehmen Sie die oberste Karte.</p><p>Jede Karte bringt Geld ein; manche kosten auch Geld. Sie beginnen mit 2000 Spielgeld. <b>Gewinnen Sie, so viel Sie können.</b></p>",
        "<p>Manche Stapel sind besser als andere. Sie dürfen jederzeit wechseln. Es kommt nicht auf Schnelligkeit an, und es gibt keine Übung: Das Lernen ist die Aufgabe.</p>",
      ],
      choose: "Wählen Sie einen Stapel", balance: "Geld", net: "Gute minus schlechte Stapel", time: "Mittlere Zeit einer Wahl",
      debrief: "<p>A und B bringen je Karte mehr und verlieren auf Dauer; C und D bringen wenig und zahlen sich aus. Die meisten ziehen die guten Stapel vor, ehe sie sagen können, weshalb. Die Aufgabe entstand, um Entscheidungen von Patienten mit Verletzungen des Stirnhirns zu untersuchen.</p>",
    },
  },
};
