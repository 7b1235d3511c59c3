"""The experiments there are: folders with a config.json in the Experiment Factory's form.

A folder holds either experiment.js, a module for the framework in web/battery.js, or index.html, a page of its own as the
Experiment Factory serves it (it sends its data to /save and goes on to /next).
"""
import difflib
import json
import os
import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# What every data file begins with. An experiment adds columns of its own in its config.json.
COLUMNS = [
    ("participant", "Identifier of the participant", "text", ""),
    ("session", "How many sessions the participant has begun, this one included", "number", ""),
    ("experiment", "Short name of the experiment", "text", ""),
    ("version", "Version of the experiment", "text", ""),
    ("language", "Language of the texts", "text", "en de"),
    ("phase", "Whether the trial was practice or counts", "text", "practice main"),
    ("trial", "Number of the trial within its phase, from 1", "number", ""),
    ("condition", "Condition the trial belongs to", "text", ""),
    ("stimulus", "What was shown", "text", ""),
    ("response", "What the participant answered; empty when there was no answer", "text", ""),
    ("correct_response", "The right answer; empty when there is none or when the right thing is not to answer", "text", ""),
    ("correct", "1 when the answer was right, 0 when it was wrong; empty when there is no right answer", "number", "0 1"),
    ("rt_ms", "Time from the frame in which the stimulus appeared to the answer, in milliseconds; empty without an answer", "number", ""),
    ("onset_ms", "When the stimulus appeared, in milliseconds since the experiment's page was opened", "number", ""),
    ("late_ms", "How much later than planned the stimulus appeared, in milliseconds: a measure of the computer's timing", "number", ""),
    ("interrupted", "1 when the participant left the window during the trial (or the page of a survey)", "number", "0 1"),
    ("time", "Date and time of the answer (UTC, ISO 8601)", "text", ""),
]

# Parameters that every experiment of web/battery.js has; the others stand in its config.json.
PARAMETERS = [{"name": "rest", "description": "A rest after so many trials (0: none)", "type": "number"}]

# What makes experiment.js a module for web/battery.js.
MODULE = re.compile(r"^\s*export\s+(default\b|\{[^}]*\bas\s+default\b)", re.MULTILINE)


class Experiment:
    """One experiment: its folder, and what its config.json says."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        if isinstance(config, list):  # the form of 2016: a list of one
            config = config[0]
        if not isinstance(config, dict):
            raise ValueError("config.json is no description of an experiment")
        self.config = config
        self.id = str(config.get("exp_id") or os.path.basename(folder)).replace("_", "-")
        if not NAME.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no name for an experiment")
        self.minutes = float(config.get("time") or 5)
        self.module = os.path.isfile(os.path.join(folder, "experiment.js"))
        if not self.module and not os.path.isfile(os.path.join(folder, "index.html")):
            raise ValueError("there is neither experiment.js nor index.html")
        # With index.html the folder is a page of its own, whatever its scripts are called.
        if os.path.isfile(os.path.join(folder, "index.html")):
            self.module = False
        if self.module:
            with open(os.path.join(folder, "experiment.js"), encoding="utf-8") as f:
                if not MODULE.search(f.read()):
                    raise ValueError("its experiment.js has no \"export default\". In the form of 2016, where config.json lists scripts under \"run\", "
                                     "an experiment needs an index.html that loads them, sends its data to /save and goes on to /next")
        # None: an experiment that does not say what parameters it has takes any.
        self.parameters = None
        if not self.module:
            self.parameters = {}
        elif "parameters" in config:
            self.parameters = {p["name"]: p for p in [*PARAMETERS, *config["parameters"]]}
        self.columns(), self.codebook()  # they are as they should be

    def takes(self, name):
        """Whether the experiment has a parameter of this name."""
        return self.parameters is None or name in self.parameters

    def duration(self, trials=None):
        """Minutes it takes, with so many trials where it lets others choose their number; as web/start.js says it."""
        usual = self.config.get("trials")
        if trials and usual and self.takes("trials"):
            return self.minutes * trials / usual
        return self.minutes

    def columns(self):
        """Names of the columns of its data, in order."""
        own = [c["name"] for c in self.config.get("columns", [])]
        names = [c[0] for c in COLUMNS]
        return names + [c for c in own if c not in names]

    def codebook(self):
        """Rows of the codebook: column, description, type, values."""
        rows = [dict(zip(("column", "description", "type", "values"), c)) for c in COLUMNS]
        own = {c["name"]: c for c in self.config.get("columns", [])}
        for row in rows:  # an experiment may say more exactly what a common column holds
            row.update({k: str(v) for k, v in own.pop(row["column"], {}).items() if k in ("description", "values")})
        for name, c in own.items():
            rows.append({"column": name, "description": c.get("description", ""), "type": c.get("type", "text"),
                         "values": str(c.get("values", ""))})
        return rows

    def describe(self):
        """What the pages need to know."""
        c = self.config
        return {
            "id": self.id, "name": c.get("name", self.id), "description": c.get("description") or c.get("notes") or "",
            "minutes": self.minutes, "trials": c.get("trials"), "fixed": not self.takes("trials"), "reference": c.get("reference", ""), "module": self.module,
            "translations": c.get("translations", {}), "version": str(c.get("version", "1")),
        }


def load(folders):
    """All experiments of several folders, by name; later folders replace what earlier ones have. A folder is an experiment
    itself, or holds some. What cannot be read comes back as a list of (folder, reason)."""
    found, problems = {}, []
    for top in folders:
        if not os.path.isdir(top):
            continue
        places = [top] if os.path.isfile(os.path.join(top, "config.json")) else [
            os.path.join(top, name) for name in sorted(os.listdir(top))]
        for place in places:
            if not os.path.isfile(os.path.join(place, "config.json")):
                continue
            try:
                e = Experiment(place)
                found[e.id] = e
            except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                problems.append((place, error))
    return found, problems


def choose(experiments, names, minutes, order, rng, trials=None):
    """A session: the names in their order, of those given or of all, that fit into so many minutes (None: all of them), and
    those that do not."""
    names = list(names or sorted(experiments))
    if order == "random":
        rng.shuffle(names)
    if minutes is None:
        return names, []
    chosen, out, left = [], [], minutes
    for name in names:
        takes = experiments[name].duration(trials)
        if takes <= left:
            chosen.append(name)
            left -= takes
        else:
            out.append(name)
    return chosen, out


def check(experiments, names, parameters):
    """What is wrong with parameters for these experiments, as a sentence; empty when nothing is. A parameter has to be one of at
    least one of them, and its value of the kind it says."""
    chosen = [experiments[n] for n in names or sorted(experiments)]
    for name, value in parameters.items():
        having = [e for e in chosen if e.takes(name)]
        if not having:
            known = sorted({p for e in chosen for p in e.parameters})
            like = difflib.get_close_matches(name, known, 1)
            there = ", ".join(known) or "none"
            return f"there is no parameter {name}." + (f" Do you mean {like[0]}?" if like else "") + f" There are: {there}"
        for e in having:
            said = (e.parameters or {}).get(name, {})
            number = isinstance(value, int) and not isinstance(value, bool)
            if said.get("type") == "number" and (not number or not said.get("least", 0) <= value < 1e6):
                return f"{name} of {e.id} is a whole number from {said.get('least', 0)}, not {value}"
            values = str(said.get("values", "")).split()
            if values and str(value) not in values:
                return f"{name} of {e.id} is {' or '.join(values)}, not {value}"
    return ""
