// A jsPsych plugin for spans: a sequence of digits or of blocks is shown, then repeated by the participant.
const type = window.jsPsychModule?.ParameterType;

// Where the nine blocks lie, in percent of the table.
const places = [[62, 4], [12, 12], [40, 24], [80, 28], [6, 48], [58, 50], [28, 70], [84, 68], [50, 82]];

export class SpanTask {
  static info = type && {
    name: "span-task",
    version: "1.0.0",
    parameters: {
      kind: { type: type.STRING, default: "digits" },
      sequence: { type: type.COMPLEX, default: [] },
      correct: { type: type.COMPLEX, default: [] },
      pace: { type: type.INT, default: 1000 },
      texts: { type: type.OBJECT, default: {} },
      feedback: { type: type.BOOL, default: false },
    },
    data: { response: { type: type.STRING }, rt: { type: type.FLOAT }, correct: { type: type.INT }, correct_response: { type: type.STRING }, onset: { type: type.FLOAT } },
  };

  constructor(jsPsych) {
    this.jsPsych = jsPsych;
  }

  trial(element, trial) {
    const t = trial.texts, wait = (f, ms) => this.jsPsych.pluginAPI.setTimeout(f, ms);
    const blocks = trial.kind === "blocks";
    element.innerHTML = `<div class="task"><p class="ask">&nbsp;</p><div class="stimulus">${blocks
      ? `<div class="table">${places.map(([x, y], i) => `<button type="button" class="block" data-item="${i + 1}" style="left:${x}%;top:${y}%" disabled></button>`).join("")}</div>`
      : '<span class="letter"></span>'}</div></div>`;
    const place = element.querySelector(".stimulus");
    const lit = (item, on) => {
      if (blocks) place.querySelector(`[data-item="${item}"]`).classList.toggle("lit", on);
      else place.firstChild.textContent = on ? item : "";
    };
    let onset = null, given = [], asked = null;

    const step = (i) => {
      if (i === trial.sequence.length) {
        wait(ask, 300);
        return;
      }
      lit(trial.sequence[i], true);
      onset ??= performance.now();
      wait(() => lit(trial.sequence[i], false), trial.pace * 0.7);
      wait(() => step(i + 1), trial.pace);
    };
    wait(() => step(0), 700);

    const ask = () => {
      asked = performance.now();
      element.querySelector(".ask").textContent = trial.correct.join() !== trial.sequence.join() ? t.backward : t.forward;
      window.dispatchEvent(new CustomEvent("stimulus", { detail: { onset: asked } }));
      if (blocks) {
        place.querySelectorAll(".block").forEach((b) => { b.disabled = false; });
        place.addEventListener("pointerdown", touch);
      } else {
        place.innerHTML = `<div class="pad"><output class="entry">&nbsp;</output>${[1, 2, 3, 4, 5, 6, 7, 8, 9].map((d) => `<button type="button" data-item="${d}">${d}</button>`).join("")}<button type="button" data-do="erase">${t.erase}</button><button type="button" data-item="0">0</button><button type="button" data-do="done">${t.done}</button></div>`;
        place.addEventListener("pointerdown", touch);
        document.addEventListener("keydown", press);
      }
    };
    const touch = (e) => {
      const b = e.target.closest("button");
      if (b?.dataset.item) add(Number(b.dataset.item), b, e.timeStamp);
      else if (b?.dataset.do === "erase") erase();
      else if (b?.dataset.do === "done" && given.length) over(e.timeStamp);
    };
    const press = (e) => {
      if (/^[0-9]$/.test(e.key)) add(Number(e.key), null, e.timeStamp);
      else if (e.key === "Backspace") erase();
      else if (e.key === "Enter" && given.length) over(e.timeStamp);
      else return;
      e.preventDefault();
    };
    const entry = () => {
      const out = place.querySelector(".entry");
      if (out) out.textContent = given.join(" ") || "\u00a0";
    };
    const add = (item, button, time) => {
      if (given.length >= 14) return;
      given.push(item);
      entry();
      if (!blocks) return;
      button.classList.add("lit");
      wait(() => button.classList.remove("lit"), 180);
      if (given.length === trial.sequence.length) over(time);
    };
    const erase = () => {
      given.pop();
      entry();
    };
    const over = (time) => {
      document.removeEventListener("keydown", press);
      place.removeEventListener("pointerdown", touch);
      const response = given.join(""), wanted = trial.correct.join(""), correct = response === wanted ? 1 : 0;
      const end = () => this.jsPsych.finishTrial({ response, rt: time - asked, correct, correct_response: wanted, onset });
      if (!trial.feedback) {
        wait(end, 500);
        return;
      }
      element.querySelector(".ask").innerHTML = "&nbsp;";
      place.innerHTML = `<div class="feedback ${correct ? "good" : "bad"}">${correct ? t.right : t.wrong}</div>`;
      wait(end, 1000);
    };
  }
}

// The ladder of lengths: two trials of each; the end after two failures at one length, or at the top.
export function ladder({ from, to }) {
  const at = (state) => (state.ladder ??= { length: from, tried: 0, failed: 0 });
  return {
    length: (state) => at(state).length,
    after(row, ctx) {
      const l = at(ctx.state);
      l.tried++;
      if (Number(row.correct) !== 1) l.failed++;
      if (l.tried < 2) return;
      if (l.failed === 2 || l.length === to) ctx.stop = true;
      else Object.assign(l, { length: l.length + 1, tried: 0, failed: 0 });
    },
  };
}

export function spanSummary(rows, t, what) {
  const solved = rows.filter((r) => Number(r.correct) === 1);
  return {
    measures: [
      { key: "span", label: t.span, value: Math.max(0, ...solved.map((r) => Number(r.length))), unit: what, digits: 0 },
      { key: "solved", label: t.accuracy, value: solved.length, digits: 0 },
      { key: "trials", label: t.trials, value: rows.length, digits: 0 },
    ],
    plot: {
      kind: "lines", x: t.trial, y: what, zero: true,
      series: [{ label: t.asked, points: rows.map((r, i) => [i + 1, Number(r.length)]) }, { label: t.right, points: rows.map((r, i) => [r, i]).filter(([r]) => Number(r.correct) === 1).map(([r, i]) => [i + 1, Number(r.length)]) }],
    },
  };
}
