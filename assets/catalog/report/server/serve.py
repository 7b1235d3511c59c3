"""Serves the reports of /report, and builds them again when a file changes."""
import html
import json
import mimetypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reports import Report, documents, title, walk

TOP = "/report"
HERE = os.path.dirname(os.path.abspath(__file__))
PORT = int(os.environ.get("PORT", "4848"))
SAVE = os.environ.get("SAVE", "no").lower() in ("yes", "true", "1")
# How often the folder is looked at, in seconds. Network folders send no events, so times are compared.
PERIOD = 0.7


class Desk:
    """All reports, and the thread that watches the folder."""

    def __init__(self, private):
        self.private = private
        self.reports = {}
        self.lock = threading.Lock()
        self.files = walk(TOP)

    def names(self, now=False):
        """The documents there are. The thread that watches may be behind by its period; now is for what must not be."""
        if now:
            self.files = walk(TOP)
        return documents(TOP, self.files)

    def report(self, name):
        """The report of a document; it is built when it is asked for the first time."""
        with self.lock:
            if name not in self.reports:
                self.reports[name] = Report(TOP, name, self.private, SAVE)
                self.reports[name].want()
            return self.reports[name]

    def sources(self, files):
        """Without the pages that are put beside their documents, which are no change."""
        made = {os.path.splitext(f)[0] + ".html" for f in files if f.lower().endswith((".rmd", ".r"))}
        return {f: s for f, s in files.items() if f not in made and not f.endswith(".part")}

    def watch(self, over):
        last = self.sources(self.files)
        while not over.wait(PERIOD):
            files = walk(TOP)
            now = self.sources(files)
            self.files = files
            if now == last:
                continue
            # Another document is not a reason to build this one.
            changed = {f for f in now.keys() | last.keys() if now.get(f) != last.get(f)}
            others = set(documents(TOP, now))
            last = now
            with self.lock:
                for name, report in self.reports.items():
                    if name in now and any(f == name or f not in others for f in changed):
                        report.want()


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return f.read()


class Handler(BaseHTTPRequestHandler):
    desk = None
    first = None
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if path == "/-/ready":
            return self.answer("ready", "text/plain")
        if path == "/-/live.js":
            return self.answer(read("live.js"), "text/javascript")
        names = self.desk.names(now=path == "/")
        if path == "/-/state":
            name = query.get("of", [""])[0]
            if name not in names:
                return self.answer(json.dumps({"version": len(names), "building": False}), "application/json")
            report = self.desk.report(name)
            if query.get("after"):
                report.wait(int(query["after"][0]), 25)
            return self.answer(json.dumps({"version": report.version, "building": report.building()}), "application/json")
        if path == "/":
            only = self.first or (names[0] if len(names) == 1 else None)
            if only:
                return self.go("/" + urllib.parse.quote(only))
            return self.answer(self.list(names), "text/html")
        name = path.lstrip("/")
        if name in names or name not in self.desk.files and name in self.desk.names(now=True):
            report = self.desk.report(name)
            if "download" in query:
                return self.download(report)
            return self.answer(self.page(report), "text/html")
        self.file(name)

    def go(self, where):
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, body, kind, status=200, more=()):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind + ("; charset=utf-8" if kind.startswith("text/") else ""))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        for k, v in more:
            self.send_header(k, v)
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def list(self, names):
        if names:
            rows = "".join(
                f'<li><a href="/{urllib.parse.quote(n)}">{html.escape(title(os.path.join(TOP, n)) or n)}</a> <small>{html.escape(n)}</small></li>'
                for n in names)
            body = f"<h1>Reports</h1><ul>{rows}</ul>"
        else:
            body = f"<h1>There is no report here yet</h1><p>The folder bound to <code>{TOP}</code> has no <code>.Rmd</code> file. As soon as it has one, it is shown.</p>"
        return read("shell.html").replace("BODY", body).replace("TITLE", "Reports") + self.script("", len(names), False)

    def script(self, name, version, building):
        state = html.escape(json.dumps({"of": name, "version": version, "building": building}), quote=True)
        return f'<script src="/-/live.js" data-state="{state}"></script>'

    def page(self, report):
        """The last good page with what watches for the next, and with the error since then."""
        with report.changed:
            version, building, error = report.version, report.building(), report.error
            page = ""
            if report.has_page:
                with open(report.page, encoding="utf-8", errors="replace") as f:
                    page = f.read()
        panel = ""
        if error:
            since = "Below is the page as it was before." if page else ""
            panel = f'<section id="report-error" role="alert"><h2>{html.escape(report.name)} cannot be built</h2><pre>{html.escape(error)}</pre><p>Correct it and save: this page follows. {since}</p></section>'
        if not page:
            body = panel or f"<h1>{html.escape(title(os.path.join(TOP, report.name)) or report.name)}</h1><p>The report is being built for the first time …</p>"
            return read("shell.html").replace("TITLE", html.escape(report.name)).replace("BODY", body) + self.script(report.name, version, building)
        extra = self.script(report.name, version, building)
        if panel:
            extra = f"<style>{read('error.css')}</style><template id=\"report-panel\">{panel}</template>" + extra
        head, end, tail = page.rpartition("</body>")
        return head + extra + end + tail if end else page + extra

    def download(self, report):
        if not report.has_page:
            return self.answer("It is not built yet.", "text/plain", 404)
        with open(report.page, "rb") as f:
            body = f.read()
        name = os.path.splitext(os.path.basename(report.name))[0] + ".html"
        self.answer(body, "text/html", more=[("Content-Disposition", f"attachment; filename*=UTF-8''{urllib.parse.quote(name)}")])

    def file(self, name):
        """A picture or a table that a page points to; nothing hidden, and nothing outside the folder."""
        path = os.path.realpath(os.path.join(TOP, name))
        if name not in self.desk.files or not path.startswith(os.path.realpath(TOP) + os.sep):
            return self.answer(f"There is no {name} in the folder.", "text/plain", 404)
        self.send_response(200)
        self.send_header("Content-Type", mimetypes.guess_type(path)[0] or "application/octet-stream")
        self.send_header("Content-Length", str(os.path.getsize(path)))
        self.end_headers()
        with open(path, "rb") as f:
            shutil.copyfileobj(f, self.wfile)

    def log_message(self, *args):
        pass


def main():
    private = tempfile.mkdtemp(prefix="report-")
    if not os.access(os.path.expanduser("~"), os.W_OK):
        os.environ["HOME"] = private
    over = threading.Event()
    desk = Handler.desk = Desk(private)
    try:
        if len(sys.argv) > 1:
            Handler.first = os.path.normpath(sys.argv[1].removeprefix(TOP + "/"))
            if Handler.first not in desk.names():
                print(f"{sys.argv[1]} is not a report in {TOP}. There are: {', '.join(desk.names()) or 'none'}", file=sys.stderr)
                return 2
        server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
        server.daemon_threads = True
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, lambda *_: over.set())
        threading.Thread(target=desk.watch, args=(over,), daemon=True).start()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"Reports in {TOP}: {', '.join(desk.names()) or 'none yet'}\nhttp://127.0.0.1:{PORT}/", flush=True)
        over.wait()
        for report in desk.reports.values():
            report.stop()
        return 0
    finally:
        shutil.rmtree(private, ignore_errors=True)


sys.exit(main())
