// Keeps what the pages showed, so that words missing from a translation are found: each distinct text, and the language said.
(() => {
  const seen = new Set(JSON.parse(localStorage.getItem("shown") ?? "[]"));
  const keep = (text) => {
    const words = text.replace(/\s+/g, " ").trim();
    if (!words || seen.has(words)) return;
    seen.add(words);
    localStorage.setItem("shown", JSON.stringify([...seen]));
  };
  const look = (node) => {
    if (node.nodeType === Node.TEXT_NODE && !/^(SCRIPT|STYLE)$/.test(node.parentNode?.nodeName)) keep(node.data);
    node.childNodes.forEach(look);
  };
  new MutationObserver((changes) => changes.forEach((c) => (c.type === "characterData" ? look(c.target) : c.addedNodes.forEach(look))))
    .observe(document, { childList: true, subtree: true, characterData: true });

  // What words an object of texts has: path → what a person sees of it.
  const words = (value, path = "") => {
    if (typeof value === "function") return { [path]: "" };
    if (typeof value !== "object" || value === null) {
      const div = document.createElement("template");
      div.innerHTML = String(value);
      return { [path]: div.content.textContent.replace(/\s+/g, " ").trim() };
    }
    return Object.assign({}, ...Object.entries(value).map(([k, v]) => words(v, `${path}.${k}`)));
  };

  // What is wrong with the translation of experiments: words that are missing or empty in one language, and words of the other
  // language that were shown.
  window.__untranslated = async (names, language) => {
    const problems = [];
    const other = language === "de" ? "en" : "de";
    const compare = (name, texts) => {
      const en = words(texts.en), de = words(texts.de);
      new Set([...Object.keys(en), ...Object.keys(de)]).forEach((k) => {
        if (!(k in en) || !(k in de)) problems.push(`${name}: ${k} is in one language only`);
        else if (Boolean(en[k]) !== Boolean(de[k])) problems.push(`${name}: ${k} is empty in one language`);
      });
      const own = new Set(Object.values(words(texts[language])));
      const title = words(texts[language])[".title"];
      if (title && !seen.has(title)) problems.push(`${name}: its title was never shown`);
      Object.entries(words(texts[other])).forEach(([k, text]) => {
        if (text.length > 3 && !own.has(text) && seen.has(text)) problems.push(`${name}: ${k} was shown as "${text}"`);
      });
    };
    compare("common", (await import("/web/texts.js")).common);
    for (const name of names) compare(name, (await import(`/experiments/${name}/experiment.js`)).default.texts);
    seen.forEach((text) => {
      if (/\b(undefined|NaN|null)\b|\[object/.test(text)) problems.push(`shown: "${text}"`);
    });
    return problems;
  };
})();
