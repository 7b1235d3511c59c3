"""The documents of a folder, and what was built of each."""
import os
import re
import shutil
import signal
import subprocess
import threading

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "build.R")
# Folders that nobody means when they speak of their report.
SKIPPED = {"renv", "node_modules", "packrat", "rsconnect"}
MOST_FILES = 20000


def walk(top):
    """All files of a folder that are not hidden, relative to it, with what changes when they do."""
    seen = {}
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith(".") and not f.endswith(("_cache", "_files")))
        for name in files:
            if name.startswith(".") or name.endswith("~"):
                continue
            path = os.path.join(folder, name)
            try:
                s = os.stat(path)
            except OSError:
                continue  # gone, or a link to nowhere
            seen[os.path.relpath(path, top)] = (s.st_mtime_ns, s.st_size, s.st_ino)
            if len(seen) >= MOST_FILES:
                return seen
    return seen


def is_spin(path):
    """An R script is a report when it says so in knitr's way, with lines that begin with #'."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return any(line.startswith("#'") for line in f.readlines(65536))
    except OSError:
        return False


def documents(top, files):
    """The names of the files that are reports."""
    rmd = [f for f in files if f.lower().endswith(".rmd") and not os.path.basename(f).startswith("_")]
    return sorted(rmd + [f for f in files if f.lower().endswith(".r") and is_spin(os.path.join(top, f))])


def title(path):
    """The title in the head of a document, or nothing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            head = f.read(4096)
    except OSError:
        return ""
    m = re.search(r"^(?:#' ?)?title:[ \t]*(['\"]?)(.+?)\1[ \t]*$", head, re.MULTILINE)
    return m.group(2) if m else ""


class Report:
    """A document: its last good page, the error since then, and whether it is being built."""

    def __init__(self, top, name, private, save):
        self.top, self.name, self.save = top, name, save
        self.private = os.path.join(private, re.sub(r"[^A-Za-z0-9]", "_", name) + f"-{abs(hash(name)):x}")
        self.page = os.path.join(self.private, "page.html")
        self.has_page = False
        self.error = ""
        self.log = ""
        self.version = 0        # grows with everything that a browser should show
        self.wanted = self.done = 0
        self.process = None
        self.changed = threading.Condition()
        os.makedirs(self.private, exist_ok=True)

    def want(self):
        """Has it built anew; a build that is under way is given up."""
        with self.changed:
            self.wanted += 1
            if self.wanted == self.done + 1:
                threading.Thread(target=self._build, daemon=True).start()
            elif self.process:
                end(self.process)
            self._tell()

    def building(self):
        return self.wanted != self.done

    def wait(self, version, most):
        """Returns when there is something newer than version, or after so many seconds."""
        with self.changed:
            self.changed.wait_for(lambda: self.version != version, most)
            return self.version

    def stop(self):
        with self.changed:
            if self.process:
                end(self.process)

    def _tell(self):
        self.version += 1
        self.changed.notify_all()

    def _build(self):
        while True:
            with self.changed:
                number = self.wanted
            log, fresh, ok = self._run(number)
            with self.changed:
                self.process = None
                if number != self.wanted:
                    continue  # something changed meanwhile
                self.log = log
                self.error = "" if ok else what_failed(log, self.top)
                if ok:
                    os.replace(fresh, self.page)
                    self.has_page = True
                self.done = number
                self._tell()
            print(f"{self.name}: " + ("built" if ok else "failed: " + self.error.strip().splitlines()[0]), flush=True)
            if ok and self.save:
                self._keep()
            return

    def _run(self, number):
        fresh = os.path.join(self.private, "fresh.html")
        between = os.path.join(self.private, "between")
        document = os.path.join(self.top, self.name)
        try:
            process = subprocess.Popen(
                ["Rscript", "--vanilla", BUILD, document, fresh, between, os.path.dirname(document)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                cwd=os.path.dirname(document), env={**os.environ, "TMPDIR": self.private},
            )
        except OSError as e:
            return str(e), fresh, False
        with self.changed:
            self.process = process
            if number != self.wanted:
                end(process)
        log = process.communicate()[0].decode("utf-8", "replace")
        return log, fresh, process.returncode == 0 and os.path.exists(fresh)

    def _keep(self):
        target = os.path.splitext(os.path.join(self.top, self.name))[0] + ".html"
        try:
            shutil.copyfile(self.page, target + ".part")
            os.replace(target + ".part", target)
        except OSError as e:
            print(f"{self.name}: the page could not be saved: {e}", flush=True)


def end(process):
    """Ends R and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def what_failed(log, top):
    """What R said of an error, with the lines of the document that it names; the progress before it is left out."""
    m = re.search(r"Quitting from lines|^Error", log, re.MULTILINE)
    text = log[m.start():] if m else "\n".join(log.splitlines()[-20:])
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip() or "R ended without saying why."
    text = re.sub(r"^(Calls: .*|Execution halted)\n?", "", text, flags=re.MULTILINE).rstrip()
    m = re.search(r"Quitting from lines (\d+)-(\d+)(?: \[[^]]*\])? \((.+?)\)", text)
    if m:
        first, last = int(m.group(1)), int(m.group(2))
        for folder, _, files in os.walk(top):
            if os.path.basename(m.group(3)) in files:
                with open(os.path.join(folder, os.path.basename(m.group(3))), encoding="utf-8", errors="replace") as f:
                    source = f.read().splitlines()
                text = text.replace(m.group(0), f"Lines {first} to {last} of {m.group(3)}:", 1)
                text += "\n\n" + "\n".join(f"{n:5}  {source[n - 1]}" for n in range(first, min(last, len(source)) + 1))
                break
    return text
