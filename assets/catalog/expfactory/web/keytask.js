// A jsPsych plugin for tasks that are answered by keys. What is shown changes at the beginning of a frame, and the answer's
// time is the key event's own, so that what the page does in between does not count.
//
//   fixation        milliseconds before the stimulus
//   before          HTML shown then; a cross without it
//   stimulus        HTML
//   duration        milliseconds the stimulus is shown; null: until the answer
//   changes         [{at, html}] what takes the stimulus's place, milliseconds after its appearance
//   deadline        milliseconds to answer; null: no end
//   keys            {key: answer}; " " is the space bar
//   correct         the right answer; null: not to answer is right
//   paced           the trial goes on to its deadline although it was answered
//   pause           milliseconds of nothing at the end
//
// Its data: response, rt, correct, correct_response, onset, late.
const type = window.jsPsychModule.ParameterType;

export class KeyTask {
  static info = {
    name: "key-task",
    version: "1.0.0",
    parameters: {
      fixation: { type: type.INT, default: 500 },
      before: { type: type.HTML_STRING, default: '<span class="fixation">+</span>' },
      stimulus: { type: type.HTML_STRING, default: "" },
      duration: { type: type.INT, default: null },
      changes: { type: type.COMPLEX, array: true, default: [] },
      deadline: { type: type.INT, default: 3000 },
      keys: { type: type.OBJECT, default: {} },
      correct: { type: type.STRING, default: null },
      paced: { type: type.BOOL, default: false },
      pause: { type: type.INT, default: 300 },
      labels: { type: type.OBJECT, default: {} },
      texts: { type: type.OBJECT, default: {} },
      feedback: { type: type.BOOL, default: false },
    },
    data: {
      response: { type: type.STRING }, rt: { type: type.FLOAT }, correct: { type: type.INT },
      correct_response: { type: type.STRING }, onset: { type: type.FLOAT }, late: { type: type.FLOAT },
    },
  };

  constructor(jsPsych) {
    this.jsPsych = jsPsych;
  }

  trial(element, trial) {
    const hints = Object.entries(trial.keys).map(([key, answer]) =>
      `<button type="button" class="key" data-key="${key}"><kbd>${key === " " ? trial.texts.space : key.toUpperCase()}</kbd> ${trial.labels[answer] ?? answer}</button>`).join("");
    element.innerHTML = `<div class="task"><div class="stimulus" id="stimulus"></div><div class="keys">${hints}</div></div>`;
    const place = element.querySelector("#stimulus");
    const show = (html) => { place.innerHTML = html; };
    const changes = [...trial.changes].sort((a, b) => a.at - b.at);
    let begin = null, onset = null, late = null, answer = null, rt = null, gone = false, frame = 0, last = null, step = 1000 / 60;
    show(trial.fixation > 0 ? trial.before : "");

    const over = () => {
      cancelAnimationFrame(frame);
      document.removeEventListener("keydown", press, true);
      element.removeEventListener("pointerdown", touch);
      const correct = answer === trial.correct ? 1 : 0;
      const end = () => this.jsPsych.finishTrial({ response: answer, rt, correct, correct_response: trial.correct, onset, late });
      if (trial.feedback) {
        const wanted = trial.correct === null ? trial.texts.noAnswer : (trial.labels[trial.correct] ?? trial.correct);
        const text = correct ? trial.texts.right : answer === null ? trial.texts.tooSlow : trial.texts.wrong;
        show(`<div class="feedback ${correct ? "good" : "bad"}">${text}${correct ? "" : `<small>${trial.texts.itWas} ${wanted}</small>`}</div>`);
        this.jsPsych.pluginAPI.setTimeout(end, correct ? 600 : 1400);
      } else {
        show("");
        this.jsPsych.pluginAPI.setTimeout(end, trial.pause);
      }
    };

    const take = (key, time, event) => {
      if (!(key in trial.keys) || answer !== null || onset === null || time < onset) return;
      event.preventDefault();
      answer = trial.keys[key];
      rt = time - onset;
      element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.classList.add("pressed");
      if (!trial.paced) over();
    };
    const press = (e) => {
      if (!e.repeat && !e.ctrlKey && !e.metaKey && !e.altKey) take(e.key.toLowerCase(), e.timeStamp, e);
    };
    const touch = (e) => {
      const button = e.target.closest("[data-key]");
      if (button) take(button.dataset.key, e.timeStamp, e);
    };
    document.addEventListener("keydown", press, true);
    element.addEventListener("pointerdown", touch);

    // Each frame: is it time for something? Half a frame early is nearer than a whole one late.
    const tick = (time) => {
      if (last !== null && time - last < 50) step = time - last;
      last = time;
      begin ??= time;
      const soon = step / 2;
      if (onset === null && time - begin >= trial.fixation - soon) {
        show(trial.stimulus);
        onset = time;
        late = time - begin - trial.fixation;
        window.dispatchEvent(new CustomEvent("stimulus", { detail: { onset } }));
      } else if (onset !== null) {
        const since = time - onset;
        if (trial.deadline !== null && since >= trial.deadline - soon) {
          over();
          return;
        }
        while (changes.length && since >= changes[0].at - soon) {
          show(changes.shift().html);
          gone = false;
        }
        if (trial.duration !== null && !gone && since >= trial.duration - soon) {
          gone = true;
          show("");
        }
      }
      frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
  }
}
