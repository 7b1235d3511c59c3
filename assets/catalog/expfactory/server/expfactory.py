#!/usr/bin/python3
"""The Experiment Factory: runs web experiments and keeps their data in a folder."""
import argparse
import hashlib
import hmac
import http.cookies
import http.server
import io
import json
import mimetypes
import os
import random
import re
import secrets
import signal
import socket
import sys
import threading
import traceback
import urllib.parse
import zipfile

import battery
import store

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
BUILT_IN = os.path.join(TOP, "experiments")
MAX_BODY = 8 << 20
for extension, kind in {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json"}.items():
    mimetypes.add_type(kind, extension)


class Factory:
    """What the server serves: experiments, options, data."""

    def __init__(self, options, experiments, data, kept=True, problems=()):
        self.options, self.experiments = options, experiments
        # Whether the data outlive the app, and what folders hold no experiment.
        self.kept, self.problems = kept, [f"{os.path.basename(folder)}: {reason}" for folder, reason in problems]
        # Who knows it sees everybody's data.
        self.key = options.results_key or secrets.token_urlsafe(12)
        self.store = store.Store(data, experiments)
        self.random = random.SystemRandom()

    def setup(self):
        o = self.options
        return {
            "experiments": [self.experiments[n].describe() for n in sorted(self.experiments)],
            "chosen": o.experiment or None, "language": o.lang, "order": o.order, "minutes": o.minutes,
            "trials": o.trials, "participant": o.participant, "suggestion": self.store.next_participant(),
            "kept": self.kept, "problems": self.problems,
        }

    def begin(self, asked, seat, experimenter):
        """Starts a session, or goes on with an unfinished one. It belongs to the browser it was begun in; the experimenter may
        take it to another one."""
        o = self.options
        participant = asked.get("participant") or o.participant or ""
        if not isinstance(participant, str):
            raise store.Refused(400, "A participant is named by a text.")
        participant = participant.strip()
        if participant:
            self.store.path(participant)
            waiting = self.store.unfinished(participant)
            elsewhere = waiting is not None and not experimenter and not seated(waiting, seat)
            if waiting and asked.get("resume") is None:
                raise store.Refused(409, "There is an unfinished session.", {**public(waiting), "elsewhere": elsewhere})
            if waiting and asked["resume"]:
                key = asked.get("key")
                if elsewhere and not (isinstance(key, str) and self.knows(key)):
                    raise store.Refused(403, "That is not the experimenter's key; it stands in the log of this app.")
                return self.store.move(waiting, digest(seat))
        names = asked.get("experiments") or o.experiment
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise store.Refused(400, "Experiments are a list of names.")
        unknown = [n for n in names if n not in self.experiments]
        if unknown:
            raise store.Refused(404, f"There is no experiment {unknown[0]}.")
        minutes = number(asked.get("minutes"), o.minutes, float)
        order = asked.get("order") if asked.get("order") in ("given", "random") else o.order
        trials = number(asked.get("trials"), o.trials, int)
        # --set trials=N is a number of trials as well.
        names, out = battery.choose(self.experiments, list(dict.fromkeys(names)), minutes, order, self.random, trials or o.set.get("trials"))
        if not names:
            raise store.Refused(400, "No experiment is that short.")
        parameters = dict(o.set)
        if trials:
            parameters["trials"] = trials
        language = asked.get("language") if asked.get("language") in ("en", "de") else o.lang
        session = self.store.begin(participant, names, language, parameters, order, digest(seat), out)
        if out:
            print(f"{session['participant']}: {', '.join(out)} left out, to stay within {minutes:g} minutes", flush=True)
        return session

    def knows(self, key):
        return hmac.compare_digest(key.encode(), self.key.encode())


def digest(seat):
    """What is kept of the secret that tells browsers apart: who reads the data cannot sit down in its place."""
    return hashlib.sha256(seat.encode()).hexdigest()


def seated(session, seat):
    """Whether a session was begun in the browser with this secret. Sessions of before there were any are everybody's."""
    return not session.get("seat") or hmac.compare_digest(str(session["seat"]).encode(), digest(seat).encode())


def public(session):
    return {k: v for k, v in session.items() if k != "seat"}


def number(value, default, kind):
    if value in (None, ""):
        return default
    try:
        value = kind(value)
    except (TypeError, ValueError):
        raise store.Refused(400, f"{value!r} is no number.") from None
    if not 0 < value < 1e6:
        raise store.Refused(400, "Numbers are greater than 0.")
    return value


class Handler(http.server.BaseHTTPRequestHandler):
    """Pages, files and the interface the pages speak to."""

    protocol_version = "HTTP/1.1"
    server_version = "ExperimentFactory"
    factory = None
    timeout = 60

    # What is served, by the beginning of the address.
    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        parts = [p for p in path.split("/") if p]
        self.guard(lambda: self.get(path, parts))

    do_HEAD = do_GET

    def get(self, path, parts):
        f = self.factory
        match parts:
            case []:
                self.page("index.html")
            case ["results"]:
                asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("key", [""])[-1]
                if f.knows(asked):  # not in the address, which is seen and kept
                    self.redirect("/results", cookie=f"results={urllib.parse.quote(f.key, safe='')}")
                else:
                    self.page("results.html" if self.experimenter() else "key.html")
            case ["run", _, _]:
                self.page("run.html")
            case ["web", *rest]:
                self.file(os.path.join(TOP, "web"), rest)
            case ["lib", *rest]:
                self.file(os.path.join(TOP, "lib"), rest)
            case ["experiments", name, *rest] if name in f.experiments:
                if not rest and not path.endswith("/"):
                    self.redirect(f"/experiments/{name}/")
                else:
                    self.file(f.experiments[name].folder, rest or ["index.html"])
            case ["api", "ready"]:
                self.answer({"experiments": len(f.experiments)})
            case ["api", "setup"]:
                self.answer(f.setup())
            case ["api", "sessions", participant, session]:
                self.answer(public(self.session(participant, session)))
            case [("data" | "merged" | "data.zip"), *_] | ["api", "results", *_] if not self.experimenter():
                raise store.Refused(403, "The results are for the experimenter: open /results with the key that stands in the log.")
            case ["api", "results"]:
                runs, problems = f.store.runs()
                self.answer({"runs": [summary(r) for r in runs], "problems": problems})
            case ["api", "results", participant, session, name]:
                self.answer(f.store.run(f.store.session(participant, session), name))
            case ["data", *rest]:
                self.file(f.store.folder, rest, download=True)
            case ["merged", name] if name.removesuffix(".csv") in f.experiments:
                self.merged(name.removesuffix(".csv"))
            case ["data.zip"]:
                self.zip()
            case ["next"] | ["finish"]:
                self.go_on()
            case _:
                raise store.Refused(404, "There is nothing here.")

    def do_POST(self):
        parts = [p for p in urllib.parse.urlsplit(self.path).path.split("/") if p]
        self.guard(lambda: self.post([urllib.parse.unquote(p) for p in parts]))

    def post(self, parts):
        f = self.factory
        body = self.body()
        match parts:
            case ["save"]:
                self.save_page(body)
                return
        # Pages of other sites cannot send this kind without asking first.
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            raise store.Refused(415, "JSON is expected.")
        try:
            asked = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise store.Refused(400, "This is no JSON.") from None
        if not isinstance(asked, dict):
            raise store.Refused(400, "An object is expected.")
        match parts:
            case ["api", "sessions"]:
                seat = self.seat() or secrets.token_urlsafe(16)
                self.answer(public(f.begin(asked, seat, self.experimenter())), cookie=f"seat={seat}; Max-Age={90 * 86400}")
            case ["api", "sessions", participant, session, name]:
                s = self.session(participant, session)
                if s["experiments"][s["position"]:][:1] != [name]:  # what is over is not shown again
                    raise store.Refused(409, f"The session is not at {name}.")
                self.answer({**f.store.resume(s, name, self.headers.get("User-Agent", "")),
                             "config": f.experiments[name].describe()}, cookie=f"run={participant}/{session}/{name}")
            case ["api", "sessions", participant, session, name, "trials"]:
                s = self.session(participant, session)
                self.answer({"kept": f.store.add(s, name, asked.get("trials"))})
            case ["api", "sessions", participant, session, name, "done"]:
                self.session(participant, session)
                self.answer(public(f.store.advance(participant, session, name)))
            case _:
                raise store.Refused(404, "There is nothing here.")

    # Who may see what

    def seat(self):
        """The secret that the browser was given with its first session."""
        seat = self.cookie("seat")
        return seat if re.fullmatch(r"[A-Za-z0-9_-]{22}", seat) else ""

    def session(self, participant, number):
        """A session, for the browser it belongs to and the experimenter."""
        found = self.factory.store.session(participant, number)
        if not self.experimenter() and not seated(found, self.seat()):
            raise store.Refused(403, "This session belongs to another browser, or this one keeps no cookies. The experimenter can go on with it: the first page asks for the key.")
        return found

    def cookie(self, name):
        try:
            found = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get(name)
        except http.cookies.CookieError:
            return ""
        return urllib.parse.unquote(found.value) if found else ""

    def experimenter(self):
        """Whether the browser has shown the key."""
        return self.factory.knows(self.cookie("results"))

    # Experiments that are pages of their own

    def current(self):
        """The session and the experiment that the browser is at."""
        match self.cookie("run").split("/"):
            case [participant, session, name]:
                return self.session(participant, session), name
            case _:
                raise store.Refused(400, "No session is running.")

    def save_page(self, body):
        """Takes what a page of its own sends: JSON, or a form with the field data."""
        session, name = self.current()
        text = body.decode("utf-8", "replace")
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            text = dict(urllib.parse.parse_qsl(text)).get("data", "")
        try:
            data = json.loads(text)
            if isinstance(data, dict) and isinstance(data.get("data"), (list, str)):
                data = data["data"]
            if isinstance(data, str):
                data = json.loads(data)
        except (ValueError, RecursionError):
            raise store.Refused(400, "This is no JSON.") from None
        rows = data if isinstance(data, list) else [data]
        self.answer({"kept": self.factory.store.add_page(session, name, [r if isinstance(r, dict) else {"value": r} for r in rows])})

    def go_on(self):
        session, name = self.current()
        self.factory.store.advance(session["participant"], session["session"], name)
        self.redirect(f"/run/{session['participant']}/{session['session']}")

    # Data

    def merged(self, name):
        e = self.factory.experiments[name]
        runs = [r for r in self.factory.store.runs()[0] if r["experiment"] == name]
        rows = [{**{k: r[k] for k in ("participant", "session", "experiment", "version", "language")}, **t} for r in runs for t in r["trials"]]
        self.send(store.table(e.columns(), rows).encode(), "text/csv; charset=utf-8", download=name + ".csv")

    def zip(self):
        out = io.BytesIO()
        top = self.factory.store.folder
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for folder in ["codebook", *self.factory.store.participants()]:
                for name in sorted(os.listdir(os.path.join(top, folder)) if os.path.isdir(os.path.join(top, folder)) else []):
                    if name.endswith((".csv", ".json")):
                        archive.write(os.path.join(top, folder, name), f"{folder}/{name}")
        self.send(out.getvalue(), "application/zip", download="data.zip")

    # Sending

    def guard(self, work):
        try:
            work()
        except store.Refused as refused:
            self.close_connection = True
            self.answer({"unfinished": refused.unfinished} if refused.unfinished else {"error": str(refused)}, refused.status)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        except OSError as error:
            self.close_connection = True
            self.log_error("%s", error)
            self.answer({"error": f"The data could not be saved: {error.strerror or error}"}, 507)
        except Exception:  # a mistake in this program; who asked is told that there will be no other answer
            self.close_connection = True
            self.log_error("%s", traceback.format_exc())
            self.answer({"error": "The server made a mistake; its log says more."}, 500)

    def body(self):
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY:
            raise store.Refused(413, "That is too much at once.")
        return self.rfile.read(length)

    def answer(self, value, status=200, cookie=None):
        self.send(json.dumps(value, ensure_ascii=False).encode(), "application/json", status, cookie=cookie)

    def page(self, name):
        self.file(os.path.join(TOP, "web"), [name])

    def file(self, top, parts, download=False):
        if any(p.startswith(".") or "\0" in p for p in parts) or not parts:
            raise store.Refused(404, "There is nothing here.")
        path = os.path.join(top, *parts)
        try:
            with open(path, "rb") as f:
                content = f.read()
        except (OSError, ValueError):
            raise store.Refused(404, "There is nothing here.") from None
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        self.send(content, kind, download=parts[-1] if download else None)

    def send(self, content, kind, status=200, download=None, cookie=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        if download:
            self.send_header("Content-Disposition", f'attachment; filename="{download}"')
        if cookie:
            self.send_header("Set-Cookie", f"{cookie}; Path=/; SameSite=Strict; HttpOnly")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def redirect(self, to, cookie=None):
        self.send_response(302)
        self.send_header("Location", to)
        if cookie:
            self.send_header("Set-Cookie", f"{cookie}; Path=/; SameSite=Strict; HttpOnly")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code="-", size="-"):
        if self.command == "POST" or not str(getattr(code, "value", code)).startswith("2"):
            super().log_request(getattr(code, "value", code), size)


def summary(run):
    """A record without its trials, and how many there are."""
    main = [t for t in run["trials"] if t.get("phase") != "practice"]
    return {k: v for k, v in run.items() if k != "trials"} | {"count": len(main)}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self):
        # Without asking a name service for this computer's name, which can take long.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]


def arguments(argv):
    p = argparse.ArgumentParser(prog="expfactory", description="Run web experiments in the browser and keep their data in a folder.",
                                epilog="Without a name there is a list to pick from.")
    p.add_argument("experiment", nargs="*", help="experiments to run, in this order")
    p.add_argument("--trials", type=int, metavar="N", help="number of main trials of every experiment")
    p.add_argument("--lang", choices=("en", "de"), default="en", help="language of the texts (en)")
    p.add_argument("--minutes", type=float, metavar="N", help="only experiments that fit into N minutes")
    p.add_argument("--order", choices=("given", "random"), default="given", help="order of the experiments (given)")
    p.add_argument("--participant", default="", metavar="ID", help="the participant's identifier; asked for, or P001, P002 … without")
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of an experiment, such as deadline=1500")
    p.add_argument("--data", metavar="FOLDER", help="where the data go (the folder bound to /data, else ./expfactory-data); a folder inside the container is lost with it")
    p.add_argument("--results-key", default=os.environ.get("RESULTS_KEY") or "", metavar="KEY", help="the key to the page of results (a new one each time, in the log)")
    p.add_argument("--experiments", action="append", default=[], metavar="FOLDER", help="a folder with experiments of your own (/experiments)")
    p.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 9684), help="port to listen on (9684)")
    p.add_argument("--address", default=os.environ.get("ADDRESS") or "127.0.0.1", help="address to listen on (127.0.0.1)")
    p.add_argument("--list", action="store_true", help="list the experiments and end")
    o = p.parse_args(argv)
    if any(n is not None and n <= 0 for n in (o.trials, o.minutes)):
        p.error("--trials and --minutes are greater than 0")
    if o.participant and not store.PARTICIPANT.fullmatch(o.participant):
        p.error("a participant is named by letters, digits, - and _")
    parameters = {}
    for pair in o.set:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
            p.error(f"--set {pair}: write NAME=VALUE")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    o.set = parameters
    return p, o


def outside(path):
    """Whether a folder is one of the computer's, bound into the container: what is in the container itself, or in a memory of its
    own, goes when it ends."""
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    if path == "/":
        return False
    try:  # proc(5): ID PARENT DEVICE ROOT PLACE OPTIONS … - KIND
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            kinds = [line.partition(" - ")[2].split()[0] for line in f if line.split()[4].encode().decode("unicode_escape") == path]
    except (OSError, IndexError, UnicodeDecodeError):
        return True
    return not kinds or kinds[-1] not in ("tmpfs", "ramfs")


def data_folder(asked):
    """Where the data go, and whether they are kept there: the folder that was asked for, the one that is bound to /data, or one
    in the current folder, when that is one of the computer's. Sentences say what is wrong."""
    def usable(folder):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            sys.exit(f"The data cannot be saved in {folder}: {error.strerror}.")
        if not os.access(folder, os.W_OK | os.X_OK):
            sys.exit(f"The data cannot be saved in {folder}: it cannot be written to.")
        return folder

    if asked:
        return usable(asked), outside(asked)
    if os.path.ismount("/data"):
        return usable("/data"), True
    here = os.getcwd()
    if outside(here) and os.access(here, os.W_OK | os.X_OK):
        return usable(os.path.join(here, "expfactory-data")), True
    sys.exit("There is no folder in which the data would be kept: /data is inside the container, which is thrown away when this ends.\n"
             "Bind a folder of yours: -B FOLDER:/data\nTo try it out, with data that are lost: --data /tmp/lost")


def main():
    parser, options = arguments(sys.argv[1:])
    experiments, problems = battery.load([BUILT_IN, *(options.experiments or ["/experiments"])])
    for folder, reason in problems:
        print(f"{folder}: left out: {reason}", file=sys.stderr)
    if options.list:
        for name in sorted(experiments):
            e = experiments[name].describe()
            print(f"{name:16} {e['minutes']:3.0f} min  {e['description']}")
            print("".join(f"{'':25}--set {p['name']}=…  {p['description']}\n" for p in (experiments[name].parameters or {}).values() if p not in battery.PARAMETERS), end="")
        return
    for name in options.experiment:
        if name not in experiments:
            parser.error(f"there is no experiment {name}. There are: {', '.join(sorted(experiments))}")
    wrong = battery.check(experiments, options.experiment, options.set)
    if wrong:
        parser.error(f"--set: {wrong}")
    folder, kept = data_folder(options.data)
    Handler.factory = Factory(options, experiments, folder, kept, problems)
    try:
        server = Server((options.address, options.port), Handler)
    except OSError as error:
        sys.exit(f"Port {options.port}: {error.strerror}. Name another one with --port.")
    print(f"Found {len(experiments)} valid experiments")
    print(f"Data are saved in {folder}" + ("" if kept else
          f", INSIDE THE CONTAINER: they are lost when this ends, unless it was started with --writable.\nBind a folder of yours to keep them: -B FOLDER:/data"))
    trials = options.trials or options.set.get("trials")
    if trials:
        fixed = [n for n in options.experiment or sorted(experiments) if not experiments[n].takes("trials")]
        if fixed:
            print(f"{', '.join(fixed)}: always with all its trials; --trials does not change their number")
    if options.minutes and options.experiment and options.order == "given":
        names, out = battery.choose(experiments, options.experiment, options.minutes, "given", None, trials)
        if out:
            print(f"Within {options.minutes:g} minutes there is time for {', '.join(names) or 'none'}; left out: {', '.join(out)}")
    print(f"Results are for the experimenter: /results?key={Handler.factory.key} behind the same address")
    print(f"Preview experiment at http://{'localhost' if options.address == '0.0.0.0' else options.address}:{server.server_port}/", flush=True)
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
