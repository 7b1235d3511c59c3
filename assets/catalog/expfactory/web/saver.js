// Sends trials to the server, in order, until it has them: a trial is sent again until the server says that it keeps it.
export class Saver {
  constructor(url, status) {
    this.url = url;
    this.status = status; // told "saved", "saving" or "waiting"
    this.queue = [];
    this.sending = null;
    window.addEventListener("beforeunload", (e) => {
      if (this.queue.length) e.preventDefault();
    });
  }

  // Takes the rows of a trial; they are sent together, so that the server has all of them or none.
  add(rows) {
    this.queue.push(...rows);
    this.sending ??= this.send().finally(() => { this.sending = null; });
  }

  // Kept when everything has arrived.
  async flush() {
    while (this.queue.length || this.sending) await (this.sending ?? this.send());
  }

  async send() {
    let pause = 250;
    while (this.queue.length) {
      const rows = [...this.queue];
      this.status("saving");
      try {
        const answer = await fetch(this.url, {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ trials: rows }), keepalive: true,
        });
        if (!answer.ok) throw new Error((await answer.json()).error);
        this.queue.splice(0, rows.length);
        this.status(this.queue.length ? "saving" : "saved");
        pause = 250;
      } catch (error) {
        this.status("waiting", error.message);
        await new Promise((f) => setTimeout(f, pause));
        pause = Math.min(5000, pause * 2);
      }
    }
  }
}
