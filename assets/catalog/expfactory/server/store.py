"""Participants' data, as files in one folder:

    PARTICIPANT/session-1.json     what the session consists of and how far it got
    PARTICIPANT/stroop.json        everything about one experiment, complete after every trial
    PARTICIPANT/stroop.csv         its trials as a tidy table
    codebook/stroop.csv            what the table's columns mean

From the second session on the names are stroop_session-2.json and so on. A file is replaced as a whole, so that there is
never half a one, whatever happens.
"""
import csv
import datetime
import io
import json
import os
import re
import secrets
import threading

PARTICIPANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAX_ROWS = 100_000


class Refused(Exception):
    """Something that cannot be done, with the HTTP status that says so."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def replace(path, text):
    """Writes a file so that it is either the old or the new one."""
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def table(columns, rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: cell(v) for k, v in row.items()})
    return out.getvalue()


def cell(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 3)
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return value


class Store:
    """The folder of data."""

    def __init__(self, folder, experiments):
        self.folder = folder
        self.experiments = experiments
        self.lock = threading.RLock()

    def path(self, participant, *names):
        if not PARTICIPANT.fullmatch(participant) or participant.lower() == "codebook":
            raise Refused(400, "A participant is named by letters, digits, - and _.")
        return os.path.join(self.folder, participant, *names)

    def participants(self):
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return []
        return [n for n in names if PARTICIPANT.fullmatch(n) and n.lower() != "codebook" and os.path.isdir(self.path(n))]

    def next_participant(self):
        taken = {n.upper() for n in self.participants()}
        number = 1
        while f"P{number:03}" in taken:
            number += 1
        return f"P{number:03}"

    def read(self, path):
        try:
            with open(path, encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            raise Refused(404, "There is no such record.") from None
        except ValueError:
            raise Refused(500, f"{path} cannot be read.") from None

    def write(self, path, record):
        replace(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")

    # Sessions

    def numbers(self, participant):
        """Numbers of a participant's sessions."""
        try:
            names = os.listdir(self.path(participant))
        except OSError:
            return []
        return sorted(int(m.group(1)) for m in (re.fullmatch(r"session-(\d+)\.json", n) for n in names) if m)

    def session(self, participant, number):
        if not re.fullmatch(r"[1-9]\d{0,5}", str(number)):
            raise Refused(404, "There is no such session.")
        return self.read(self.path(participant, f"session-{number}.json"))

    def unfinished(self, participant):
        """The last session of a participant when it was not finished."""
        numbers = self.numbers(participant)
        if numbers:
            session = self.session(participant, numbers[-1])
            if session["position"] < len(session["experiments"]):
                return session
        return None

    def begin(self, participant, names, language, parameters, order):
        """Starts a session."""
        with self.lock:
            participant = participant or self.next_participant()
            os.makedirs(self.path(participant), exist_ok=True)
            number = (self.numbers(participant) or [0])[-1] + 1
            session = {"participant": participant, "session": number, "language": language, "order": order, "experiments": names,
                       "parameters": parameters, "position": 0, "started": now(), "finished": None}
            self.write(self.path(participant, f"session-{number}.json"), session)
            return session

    def advance(self, participant, number, experiment):
        """Marks an experiment of a session as done."""
        with self.lock:
            session = self.session(participant, number)
            left = session["experiments"][session["position"]:]
            if left and left[0] == experiment:
                run = self.run(session, experiment)
                run["finished"] = now()
                self.save_run(session, run)
                session["position"] += 1
                if session["position"] == len(session["experiments"]):
                    session["finished"] = now()
                self.write(self.path(participant, f"session-{session['session']}.json"), session)
            return session

    # Runs: an experiment within a session

    def base(self, session, experiment):
        name = experiment if session["session"] == 1 else f"{experiment}_session-{session['session']}"
        return self.path(session["participant"], name)

    def run(self, session, name, browser=""):
        """The record of an experiment in a session, begun if there is none yet."""
        if name not in session["experiments"] or name not in self.experiments:
            raise Refused(404, f"The session has no experiment {name}.")
        with self.lock:
            try:
                return self.read(self.base(session, name) + ".json")
            except Refused as refused:
                if refused.status != 404:
                    raise
            e = self.experiments[name]
            run = {"participant": session["participant"], "session": session["session"], "experiment": name,
                   "version": e.describe()["version"], "language": session["language"], "parameters": session["parameters"],
                   "seed": secrets.randbits(31), "browser": browser[:500], "started": now(), "finished": None, "resumed": 0, "trials": []}
            self.save_run(session, run)
            folder = os.path.join(self.folder, "codebook")
            os.makedirs(folder, exist_ok=True)
            replace(os.path.join(folder, name + ".csv"), table(["column", "description", "type", "values"], e.codebook()))
            return run

    def save_run(self, session, run):
        e = self.experiments[run["experiment"]]
        base = self.base(session, run["experiment"])
        common = {k: run[k] for k in ("participant", "session", "experiment", "version", "language")}
        columns = e.columns()
        rows = [{**common, **t} for t in run["trials"]]
        if not e.module:  # a page of its own has the columns it has
            columns = columns[:5] + [k for k in dict.fromkeys(k for r in rows for k in r) if k not in columns[:5]]
        self.write(base + ".json", run)
        replace(base + ".csv", table(columns, rows))

    def add(self, session, name, rows):
        """Adds trials. Each has a key of its own, so that a row that is sent twice is kept once."""
        if not isinstance(rows, list) or not all(isinstance(r, dict) and isinstance(r.get("key"), str) for r in rows):
            raise Refused(400, "These are no trials.")
        with self.lock:
            run = self.run(session, name)
            known = {t["key"] for t in run["trials"]}
            new = [r for r in rows if r["key"] not in known]
            if len(run["trials"]) + len(new) > MAX_ROWS:
                raise Refused(413, "These are too many trials.")
            if new:
                for r in new:
                    r["time"] = r.get("time") or now()
                run["trials"] += new
                self.save_run(session, run)
            return len(run["trials"])

    def resume(self, session, name, browser):
        """The record of an experiment that is opened, perhaps again."""
        with self.lock:
            run = self.run(session, name, browser)
            if run["trials"] and not run["finished"]:
                run["resumed"] += 1
                self.save_run(session, run)
            return run

    def runs(self):
        """All records, without their trials."""
        for participant in self.participants():
            for number in self.numbers(participant):
                session = self.session(participant, number)
                for name in session["experiments"]:
                    base = self.base(session, name)
                    if os.path.isfile(base + ".json"):
                        run = self.read(base + ".json")
                        run["file"] = os.path.relpath(base, self.folder)
                        yield run
