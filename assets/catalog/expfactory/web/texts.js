// What all experiments say.
export const common = {
  en: {
    next: "Next", back: "Back", begin: "Begin", start: "Start", startPractice: "Start practising", goOnButton: "Go on",
    practice: "Practice", practiceText: "First some trials to practise. You are told whether you were right.",
    onceMore: "Once more", onceMoreText: "Several answers were wrong. Please read the rule again and practise once more.",
    nowReal: "Now it counts", nowRealText: "From now on you are not told whether you were right. Answer as fast as you can without making mistakes.",
    rest: "A short rest", restText: "Go on when you are ready.",
    welcomeBack: "Welcome back", goOn: "You go on where you stopped.",
    right: "Right", wrong: "Wrong", tooSlow: "No answer in time", itWas: "The answer was:", noAnswer: "not to press a key", space: "Space",
    thanks: "Thank you", ownResult: "Your result", span: "Span", asked: "Asked for", trials: "trials", accuracy: "Right answers", meanRT: "Mean time of right answers",
    trial: "Trial", block: "Block", ms: "ms",
  },
  de: {
    next: "Weiter", back: "Zurück", begin: "Los", start: "Start", startPractice: "Üben", goOnButton: "Weiter",
    practice: "Übung", practiceText: "Zuerst einige Durchgänge zum Üben. Sie erfahren jedes Mal, ob es richtig war.",
    onceMore: "Noch einmal", onceMoreText: "Einige Antworten waren falsch. Bitte lesen Sie die Regel noch einmal und üben Sie ein zweites Mal.",
    nowReal: "Jetzt zählt es", nowRealText: "Ab jetzt erfahren Sie nicht mehr, ob es richtig war. Antworten Sie so schnell wie möglich, ohne Fehler zu machen.",
    rest: "Eine kurze Pause", restText: "Machen Sie weiter, wenn Sie so weit sind.",
    welcomeBack: "Willkommen zurück", goOn: "Es geht dort weiter, wo Sie aufgehört haben.",
    right: "Richtig", wrong: "Falsch", tooSlow: "Keine Antwort in der Zeit", itWas: "Richtig wäre:", noAnswer: "keine Taste drücken", space: "Leertaste",
    thanks: "Vielen Dank", ownResult: "Ihr Ergebnis", span: "Spanne", asked: "Gefragt", trials: "Durchgänge", accuracy: "Richtige Antworten", meanRT: "Mittlere Zeit der richtigen Antworten",
    trial: "Durchgang", block: "Block", ms: "ms",
  },
};
