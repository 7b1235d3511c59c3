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
import hashlib
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

    def __init__(self, status, message, unfinished=None):
        super().__init__(message)
        self.status, self.unfinished = status, unfinished


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


# What a record has at least; another program, or an editor, may have left something else under its name.
SESSION = {"participant": str, "session": int, "language": str, "experiments": list, "parameters": dict, "position": int}
RUN = {"participant": str, "session": int, "experiment": str, "version": str, "language": str, "trials": list}


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

    def read(self, path, form):
        try:
            with open(path, encoding="utf-8") as f:
                record = json.load(f)
        except FileNotFoundError:
            raise Refused(404, "There is no such record.") from None
        except (OSError, ValueError, RecursionError):
            raise Refused(500, f"{path} cannot be read.") from None
        if not isinstance(record, dict) or not all(isinstance(record.get(k), kind) for k, kind in form.items()) \
                or not all(isinstance(t, dict) for t in record.get("trials", [])):
            raise Refused(500, f"{path} is no record of the Experiment Factory.")
        return record

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
        return self.read(self.path(participant, f"session-{number}.json"), SESSION)

    def unfinished(self, participant):
        """The last session of a participant when it was not finished."""
        numbers = self.numbers(participant)
        if numbers:
            session = self.session(participant, numbers[-1])
            if session["position"] < len(session["experiments"]):
                return session
        return None

    def begin(self, participant, names, language, parameters, order, seat, left_out=()):
        """Starts a session of the browser whose secret has the digest seat. What was left out of it, as it would have taken too long, is kept with it."""
        with self.lock:
            participant = participant or self.next_participant()
            os.makedirs(self.path(participant), exist_ok=True)
            number = (self.numbers(participant) or [0])[-1] + 1
            session = {"participant": participant, "session": number, "language": language, "order": order, "experiments": names,
                       "left_out": list(left_out), "parameters": parameters, "position": 0, "started": now(), "finished": None, "seat": seat}
            self.write(self.path(participant, f"session-{number}.json"), session)
            return session

    def move(self, session, seat):
        """Gives a session to another browser."""
        with self.lock:
            session = self.session(session["participant"], session["session"])
            if session.get("seat") != seat:
                session["seat"] = seat
                self.write(self.path(session["participant"], f"session-{session['session']}.json"), session)
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
                return self.read(self.base(session, name) + ".json", RUN)
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
            known = {t.get("key") for t in run["trials"]}
            new = [r for r in rows if r["key"] not in known]
            if len(run["trials"]) + len(new) > MAX_ROWS:
                raise Refused(413, "These are too many trials.")
            if new:
                for r in new:
                    r["time"] = r.get("time") or now()
                run["trials"] += new
                self.save_run(session, run)
            return len(run["trials"])

    def add_page(self, session, name, rows):
        """Adds what a page of its own sent. Some pages send everything once more with each block, others only what is new. What
        carries the time at which it was done (as jsPsych and psiTurk write it) is kept once. Of other rows only those are known
        already that are a repetition of everything before, with something new behind: equal rows of two blocks are two rows,
        and save says with which sending they came."""
        with self.lock:
            run = self.run(session, name)
            at = max((t["save"] for t in run["trials"] if isinstance(t.get("save"), int)), default=0) + 1
            prints = [hashlib.sha256(json.dumps(r, sort_keys=True).encode()).hexdigest()[:16] for r in rows]
            before = [t.get("key", "").rpartition("-")[2] for t in run["trials"]]
            if not all(timed(r) for r in rows) and len(rows) > len(before) > 0 and prints[:len(before)] == before:
                rows, prints = rows[len(before):], prints[len(before):]
            new = []
            for i, (row, print_) in enumerate(zip(rows, prints)):
                inner = row.get("trialdata", row)
                values = dict(inner) if isinstance(inner, dict) else {"value": inner}
                new.append({**values, "save": at, "key": f"page-{print_}" if timed(row) else f"page-{at}-{i}-{print_}"})
            return self.add(session, name, new)

    def resume(self, session, name, browser):
        """The record of an experiment that is opened, perhaps again."""
        with self.lock:
            run = self.run(session, name, browser)
            if run["trials"] and not run["finished"]:
                run["resumed"] += 1
                self.save_run(session, run)
            return run

    def runs(self):
        """All records, and what cannot be read, as sentences."""
        found, problems = [], []

        def attempt(work):
            try:
                return work()
            except Refused as refused:
                problems.append(str(refused))
                return None

        for participant in self.participants():
            for number in self.numbers(participant):
                session = attempt(lambda: self.session(participant, number))
                for name in session["experiments"] if session else []:
                    base = self.base(session, str(name))
                    run = attempt(lambda: self.read(base + ".json", RUN)) if os.path.isfile(base + ".json") else None
                    if run:
                        run["file"] = os.path.relpath(base, self.folder)
                        found.append(run)
        return found, problems


def timed(row):
    """Whether a page wrote down when the row was made, so that no other is equal to it."""
    return isinstance(row, dict) and any(k in row for k in ("dateTime", "time_elapsed", "timestamp"))
