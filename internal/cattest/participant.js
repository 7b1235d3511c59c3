// Takes part in experiments: reads instructions, answers, and notes what it did, so that the data can be compared with it.
// Every seventh main trial is answered wrongly on purpose. It answers slower where people do. window.__slow makes it slower for
// a picture, window.__read lets it stay at the last page.
(() => {
  // A page of the questionnaire is sent as a whole, or a window that is closed would leave half of it.
  const send = window.fetch;
  window.fetch = (url, options) => {
    if (String(url).endsWith("/likert/trials") && JSON.parse(options.body).trials.length % 5) localStorage.setItem("torn", options.body);
    return send(url, options);
  };

  const notes = () => JSON.parse(localStorage.getItem("notes") ?? "[]");
  const note = (n) => localStorage.setItem("notes", JSON.stringify([...notes(), n]));
  const wait = (ms) => new Promise((f) => setTimeout(f, ms));
  const slow = { incongruent: 120, switch: 120, absent: 100, other: 0 };

  function key(name) {
    const event = new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
    return event.timeStamp;
  }

  async function keys(at, onset) {
    const { experiment, phase, number, spec, trial } = at;
    const wrong = phase === "main" && number % 7 === 0;
    const answers = Object.entries(trial.keys);
    let answer = trial.correct;
    if (wrong) answer = answers.map(([, a]) => a).find((a) => a !== trial.correct) ?? null;
    if (wrong && trial.correct === null) answer = answers[0][1];
    const n = { experiment, phase, trial: number, condition: spec.condition, response: answer ?? "", correct: wrong ? 0 : 1 };
    if (answer === null) {
      note(n);
      return;
    }
    await wait(window.__slow ?? 150 + (slow[spec.condition] ?? 0));
    const time = key(answers.find(([, a]) => a === answer)[0]);
    note({ ...n, rt: time - onset });
  }

  async function span(at, onset) {
    const wrong = at.phase === "main" && at.spec.size >= 4;
    const sequence = wrong ? [...at.spec.sequence].reverse() : at.spec.sequence;
    let time = 0;
    for (const item of sequence) {
      await wait(20);
      const button = document.querySelector(`.block[data-item="${item}"]`);
      if (button) {
        const event = new PointerEvent("pointerdown", { bubbles: true });
        time = event.timeStamp;
        button.dispatchEvent(event);
      } else {
        key(String(item));
      }
    }
    if (!document.querySelector(".block")) time = key("Enter");
    note({ experiment: at.experiment, phase: at.phase, trial: at.number, condition: at.spec.condition, response: sequence.join(""), correct: wrong ? 0 : 1, rt: time - onset });
  }

  async function deck(at) {
    await wait(300);
    const name = "ABCD"[at.number % 4];
    document.querySelector(`.deck[data-deck="${name}"]`).click();
    note({ experiment: at.experiment, phase: at.phase, trial: at.number, response: name, condition: "CD".includes(name) ? "advantageous" : "disadvantageous", correct: "" });
  }

  async function survey(at) {
    await wait(50);
    const questions = [...document.querySelectorAll(".jspsych-survey-likert-opts")];
    questions.forEach((q, i) => {
      const value = (at.number + i) % 5;
      q.querySelectorAll("input[type=radio]")[value].click();
      note({ experiment: at.experiment, phase: at.phase, trial: (at.number - 1) * at.trial.questions.length + i + 1, response: String(value + 1), condition: at.spec.items[i].scale, correct: "" });
    });
    document.querySelector("#jspsych-survey-likert-next").click();
  }

  window.addEventListener("stimulus", (e) => {
    const at = window.battery;
    if (at.trial.keys) keys(at, e.detail.onset);
    else if (at.spec.sequence) span(at, e.detail.onset);
    else if (at.spec.items) survey(at);
    else deck(at);
  });

  // Pages to read.
  setInterval(() => {
    const phase = window.battery?.phase;
    if (phase === "pages") document.querySelector("#jspsych-instructions-next")?.click();
    if (phase === "debrief" && !window.__read) document.querySelector("#stage button")?.click();
  }, 60);
})();
