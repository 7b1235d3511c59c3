// Waits for a newer page, keeps the place on it, and says when one is being built.
{
  const script = document.currentScript;
  let { of, version, building } = JSON.parse(script.dataset.state);

  // The pages of R Markdown have styles of their own: the panel comes in front of all that.
  const panel = document.querySelector("#report-panel");
  if (panel) document.body.prepend(panel.content);

  const place = "place of " + location.pathname;
  const before = sessionStorage.getItem(place);
  if (before !== null && !panel) addEventListener("load", () => scrollTo(0, Number(before)));
  sessionStorage.removeItem(place);

  const badge = document.createElement("div");
  badge.id = "report-state";
  badge.setAttribute("role", "status");
  badge.style.cssText = "position:fixed;right:1rem;bottom:1rem;padding:.35rem .9rem;border-radius:2rem;font:14px system-ui,sans-serif;background:#24524d;color:#fff;z-index:9999;transition:opacity .2s";
  document.body.append(badge);
  const say = (text) => { badge.textContent = text; badge.style.opacity = text ? "1" : "0"; };
  say(building ? "building …" : "");

  const ask = async () => {
    for (;;) {
      try {
        const answer = await (await fetch("/-/state?of=" + encodeURIComponent(of) + "&after=" + version)).json();
        if (answer.version !== version || building && !answer.building) {
          version = answer.version;
          const done = !answer.building;
          building = answer.building;
          say(building ? "building …" : "");
          if (done) {
            sessionStorage.setItem(place, scrollY);
            location.reload();
            return;
          }
        }
        if (!of) await new Promise((later) => setTimeout(later, 1000));
      } catch {
        say("the app has ended");
        await new Promise((later) => setTimeout(later, 2000));
      }
    }
  };
  ask();
}
