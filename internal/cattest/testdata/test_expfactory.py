"""Tests of the Experiment Factory's server: what it chooses, keeps, refuses and shows to whom."""
import csv
import http.client
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

import battery
import expfactory
import store

TOP = os.path.dirname(os.path.dirname(os.path.abspath(battery.__file__)))
BUILT_IN = os.path.join(TOP, "experiments")


def folder(test):
    made = tempfile.TemporaryDirectory()
    test.addCleanup(made.cleanup)
    return made.name


def write(top, name, text):
    path = os.path.join(top, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


class Choice(unittest.TestCase):
    def setUp(self):
        self.all, problems = battery.load([BUILT_IN])
        self.assertEqual(problems, [])

    def test_minutes(self):
        # flanker 4, n-back 5, stroop 5
        names = ["stroop", "flanker", "n-back"]
        self.assertEqual(battery.choose(self.all, names, None, "given", None), (names, []))
        self.assertEqual(battery.choose(self.all, names, 10, "given", None), (["stroop", "flanker"], ["n-back"]))
        self.assertEqual(battery.choose(self.all, names, 3, "given", None), ([], names))

    def test_minutes_of_few_trials(self):
        # 8 of 80 trials are 0.4 minutes; a quarter of the usual 96 and 90 is a little more than one.
        self.assertAlmostEqual(self.all["flanker"].duration(8), 0.4)
        self.assertEqual(battery.choose(self.all, ["stroop", "flanker", "n-back"], 4, "given", None, 24), (["stroop", "flanker", "n-back"], []))
        self.assertEqual(battery.choose(self.all, ["stroop", "flanker"], 7, "given", None, 960), ([], ["stroop", "flanker"]))
        self.assertEqual(self.all["likert"].duration(2), 3)

    def test_order(self):
        names = sorted(self.all)
        orders = {tuple(battery.choose(self.all, names, None, "random", random.Random(n))[0]) for n in range(8)}
        self.assertEqual({tuple(sorted(o)) for o in orders}, {tuple(names)})
        self.assertGreater(len(orders), 5)

    def test_parameters(self):
        for names, parameters, wrong in [
            (["flanker"], {"deadline": 1500}, ""),
            ([], {"n": 3, "direction": "backward"}, ""),
            (["flanker"], {"dealine": 1}, "Do you mean deadline?"),
            (["flanker"], {"n": 3}, "there is no parameter n."),
            (["n-back"], {"n": "three"}, "whole number"),
            (["n-back"], {"n": 0}, "from 1"),
            (["n-back"], {"n": 2.5}, "whole number"),
            (["digit-span"], {"direction": "sideways"}, "forward or backward"),
            (["likert"], {"trials": 5}, "there is no parameter trials"),
        ]:
            said = battery.check(self.all, names, parameters)
            (self.assertIn if wrong else self.assertEqual)(wrong, said, (names, parameters))


class Own(unittest.TestCase):
    """Experiments of one's own."""

    def test_forms(self):
        top = folder(self)
        module = "export default { parameters: {}, texts: {} };\n"
        for name, files in {
            "module": {"config.json": '{"name": "M", "time": 2}', "experiment.js": module},
            "page": {"config.json": '[{"exp_id": "my_page", "run": ["experiment.js"]}]', "experiment.js": "var timeline = [];", "index.html": "<p>"},
            "old": {"config.json": '[{"exp_id": "old", "run": ["jspsych.js", "experiment.js"], "template": "jspsych"}]', "experiment.js": "var timeline = [];"},
            "nothing": {"config.json": "{}"},
            "text": {"config.json": '"x"', "index.html": ""},
            "broken": {"config.json": "{", "index.html": ""},
            "columns": {"config.json": '{"columns": [1]}', "index.html": ""},
            "parameters": {"config.json": '{"parameters": [{"n": 1}]}', "experiment.js": module},
        }.items():
            for file, text in files.items():
                write(top, f"{name}/{file}", text)
        found, problems = battery.load([top])
        self.assertEqual(sorted(found), ["module", "my-page"])
        self.assertTrue(found["module"].module)
        self.assertFalse(found["my-page"].module)
        said = {os.path.basename(place): str(reason) for place, reason in problems}
        self.assertEqual(sorted(said), ["broken", "columns", "nothing", "old", "parameters", "text"])
        self.assertIn("form of 2016", said["old"])
        # What it does not list, it may have.
        self.assertEqual(battery.check(found, ["module"], {"anything": 1}), "")
        self.assertIn("no parameter", battery.check(found, ["my-page"], {"anything": 1}))

    def test_replaces(self):
        top = folder(self)
        write(top, "config.json", '{"exp_id": "stroop", "name": "Mine", "time": 1}')
        write(top, "index.html", "<p>")
        found, _ = battery.load([BUILT_IN, top])
        self.assertEqual((found["stroop"].describe()["name"], len(found)), ("Mine", 12))


class Served(unittest.TestCase):
    """The server as browsers see it."""

    def setUp(self):
        self.data = folder(self)
        own = folder(self)
        write(own, "page/config.json", '{"time": 1}')
        write(own, "page/index.html", "<p>My own page")
        write(own, "old/config.json", '[{"run": []}]')
        experiments, problems = battery.load([BUILT_IN, own])
        _, options = expfactory.arguments(["--results-key", "secret"])
        handler = type("Quiet", (expfactory.Handler,), {"log_message": lambda *_: None})
        handler.factory = expfactory.Factory(options, experiments, self.data, False, problems)
        self.server = expfactory.Server(("127.0.0.1", 0), handler)
        self.seat = ""
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(lambda: (self.server.shutdown(), thread.join(), self.server.server_close()))

    def ask(self, method, path, body=None, cookie=None, kind="application/json"):
        """Asks as the browser that began the last session does, unless cookies are said."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        try:
            text = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": kind, "Cookie": self.seat if cookie is None else cookie})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if answer.getheader("Content-Type") == "application/json" else content, answer
        finally:
            connection.close()

    def begin(self, *names, **more):
        status, session, answer = self.ask("POST", "/api/sessions", {"experiments": list(names), **more})
        self.assertEqual(status, 200, session)
        self.seat = answer.getheader("Set-Cookie").split(";")[0]
        return session

    def table(self, *names):
        with open(os.path.join(self.data, *names), encoding="utf-8") as f:
            return list(csv.DictReader(f))

    def test_malformed(self):
        for body in ({"experiments": 5}, {"experiments": [{}]}, {"experiments": [["stroop"]]}, {"experiments": "stroop"}, {"experiments": ["stroop"], "participant": 5},
                     {"experiments": ["stroop"], "participant": ["x"]}, {"experiments": ["stroop"], "minutes": "x"}, {"experiments": ["stroop"], "minutes": []},
                     {"experiments": ["stroop"], "trials": {}}, {"experiments": ["stroop"], "minutes": "nan"}, [{}], "{", '{"a":' * 3000):
            status, answer, _ = self.ask("POST", "/api/sessions", body)
            self.assertEqual((status, "error" in answer), (400, True), (body, answer))
        self.begin("stroop", participant="A")
        for rows in (5, [5], [{}], [{"key": 1}], {"key": "x"}):
            status, answer, _ = self.ask("POST", "/api/sessions/A/1/stroop/trials", {"trials": rows})
            self.assertEqual((status, "error" in answer), (400, True), (rows, answer))
        self.assertEqual(self.ask("GET", "/results?key=x", cookie="run=a; results=\"")[0], 200)
        self.assertEqual(self.ask("GET", "/api/sessions/%00/1")[0], 400)

    def test_left_out(self):
        self.assertEqual(self.begin("stroop", "flanker", minutes=5)["left_out"], ["flanker"])
        self.assertEqual(self.begin("stroop", "flanker", minutes=5, trials=20)["left_out"], [])

    def test_resume(self):
        self.begin("stroop", participant="A")
        status, answer, _ = self.ask("POST", "/api/sessions", {"experiments": ["stroop"], "participant": "A"})
        self.assertEqual((status, answer["unfinished"]["session"]), (409, 1))
        rows = [{"key": "main-1", "phase": "main", "trial": 1}]
        for _ in range(2):  # sent again: kept once
            self.assertEqual(self.ask("POST", "/api/sessions/A/1/stroop/trials", {"trials": rows})[1], {"kept": 1})
        status, answer, _ = self.ask("POST", "/api/sessions/A/1/stroop", {})
        self.assertEqual((status, answer["resumed"], len(answer["trials"])), (200, 1, 1))
        self.assertEqual(self.ask("POST", "/api/sessions", {"participant": "A", "experiments": ["stroop"], "resume": False})[1]["session"], 2)

    def test_other_browser(self):
        """A participant's name is no key to the session."""
        self.assertNotIn("seat", self.begin("stroop", participant="A"))
        self.ask("POST", "/api/sessions/A/1/stroop", {})
        row = {"trials": [{"key": "main-1"}]}
        requests = [("GET", "/api/sessions/A/1", None), ("POST", "/api/sessions/A/1/stroop", {}), ("POST", "/api/sessions/A/1/stroop/trials", row), ("POST", "/api/sessions/A/1/stroop/done", {}),
                    ("POST", "/save", [{"a": 1}]), ("GET", "/next", None)]
        for other in ("", "seat=" + 22 * "x", "seat=; results=wrong"):
            for method, path, body in requests:
                status, answer, _ = self.ask(method, path, body, cookie="run=A/1/stroop; " + other)
                self.assertEqual((status, "another browser" in answer["error"]), (403, True), (path, other))
        self.assertEqual(self.table("A", "stroop.csv"), [])
        again = {"participant": "A", "experiments": ["stroop"]}
        self.assertFalse(self.ask("POST", "/api/sessions", again)[1]["unfinished"]["elsewhere"])
        status, answer, _ = self.ask("POST", "/api/sessions", again, cookie="")
        self.assertEqual((status, answer["unfinished"]["elsewhere"], "seat" in answer["unfinished"]), (409, True, False))
        for key in (None, "wrong", 5):
            self.assertEqual(self.ask("POST", "/api/sessions", {**again, "resume": True, "key": key}, cookie="")[0], 403)
        # With the experimenter's key it goes over, and the first browser is out.
        status, answer, reply = self.ask("POST", "/api/sessions", {**again, "resume": True, "key": "secret"}, cookie="")
        self.assertEqual((status, answer["session"]), (200, 1))
        self.assertEqual(self.ask("POST", "/api/sessions/A/1/stroop/trials", row)[0], 403)
        self.assertIn("HttpOnly", reply.getheader("Set-Cookie"))
        self.seat = reply.getheader("Set-Cookie").split(";")[0]
        self.assertEqual(self.ask("POST", "/api/sessions/A/1/stroop/trials", row)[0], 200)
        # What was begun before there were seats is gone on with as before.
        with open(os.path.join(self.data, "A", "session-1.json"), encoding="utf-8") as f:
            old = json.load(f)
        del old["seat"]
        write(self.data, "A/session-1.json", json.dumps(old))
        self.assertEqual(self.ask("GET", "/api/sessions/A/1", cookie="")[0], 200)

    def test_over(self):
        """What a participant has finished is not shown to whoever knows the name."""
        self.begin("stroop", "flanker", participant="A")
        self.ask("POST", "/api/sessions/A/1/stroop", {})
        self.ask("POST", "/api/sessions/A/1/stroop/trials", {"trials": [{"key": "main-1"}]})
        self.assertEqual(self.ask("POST", "/api/sessions/A/1/stroop/done", {})[1]["position"], 1)
        self.assertEqual(self.ask("POST", "/api/sessions/A/1/stroop", {})[0], 409)
        self.assertEqual(self.ask("POST", "/api/sessions/A/1/flanker", {})[0], 200)
        self.assertEqual(self.ask("POST", "/api/sessions/A/1/flanker/done", {})[1]["position"], 2)
        self.assertEqual(self.ask("POST", "/api/sessions/A/1/flanker", {})[0], 409)

    def test_key(self):
        self.begin("stroop", participant="A")
        self.ask("POST", "/api/sessions/A/1/stroop", {})
        closed = ["/api/results", "/api/results/A/1/stroop", "/data/A/stroop.csv", "/data/codebook/stroop.csv", "/merged/stroop.csv", "/data.zip"]
        for path in closed:
            for cookie in ("", "results=wrong", "results="):
                status, answer, _ = self.ask("GET", path, cookie=cookie)
                self.assertEqual(status, 403, path)
                self.assertIn("experimenter", answer["error"])
        self.assertIn(b"name=\"key\"", self.ask("GET", "/results")[1])
        self.assertIn(b"name=\"key\"", self.ask("GET", "/results?key=wrong")[1])
        status, _, answer = self.ask("GET", "/results?key=secret")
        cookie = answer.getheader("Set-Cookie")
        self.assertEqual((status, answer.getheader("Location")), (302, "/results"))
        self.assertIn("HttpOnly", cookie)
        for path in closed:
            self.assertEqual(self.ask("GET", path, cookie=cookie.split(";")[0])[0], 200, path)

    def test_unreadable(self):
        for who in ("A", "B", "C", "D"):
            self.begin("stroop", participant=who)
            self.ask("POST", f"/api/sessions/{who}/1/stroop", {})
        for name, text in {"B/session-1.json": "{", "C/stroop.json": "[]", "D/stroop.json": '{"participant": "D"}'}.items():
            write(self.data, name, text)
        status, answer, _ = self.ask("GET", "/api/results", cookie="results=secret")
        self.assertEqual((status, [r["participant"] for r in answer["runs"]], len(answer["problems"])), (200, ["A"], 3))
        self.assertIn("B/session-1.json", answer["problems"][0])
        self.assertEqual(self.ask("GET", "/merged/stroop.csv", cookie="results=secret")[0], 200)
        self.assertEqual(self.ask("GET", "/data.zip", cookie="results=secret")[0], 200)

    def page(self, body, kind="application/json", cookie=None):
        return self.ask("POST", "/save", body, f"{self.seat}; {cookie or 'run=' + urllib.parse.quote(self.run)}", kind)

    def test_page(self):
        """An experiment that is a page of its own: what it sends is kept once, equal or not."""
        for who, sendings, want in [
            ("new", [[{"a": 1}], [{"a": 1}], [{"a": 2}]], ["1", "1", "2"]),                                            # equal rows of two blocks
            ("all", [[{"a": 1}], [{"a": 1}, {"a": 1}], [{"a": 1}, {"a": 1}, {"a": 2}]], ["1", "1", "2"]),              # everything, once more each time
            ("timed", [[{"a": 1, "time_elapsed": 5}], [{"a": 1, "time_elapsed": 5}], [{"a": 1, "time_elapsed": 9}]], ["1", "1"]),
            ("psiturk", [[{"dateTime": 1, "trialdata": {"a": 1}}], [{"dateTime": 1, "trialdata": {"a": 1}}, {"dateTime": 2, "trialdata": {"a": 1}}]], ["1", "1"]),
            ("wrapped", [{"data": [{"a": 1}]}, {"data": '[{"a": 2}]'}, '"[3]"'], ["1", "2", ""]),
        ]:
            with self.subTest(who):
                self.begin("page", participant=who)
                self.ask("POST", f"/api/sessions/{who}/1/page", {})
                self.run = f"{who}/1/page"
                for body in sendings:
                    status, answer, _ = self.page(body)
                    self.assertEqual(status, 200, answer)
                self.assertEqual([r["a"] for r in self.table(who, "page.csv")], want)
        status, _, answer = self.ask("GET", "/next", cookie=self.seat + "; run=new/1/page")
        self.assertEqual((status, answer.getheader("Location")), (302, "/run/new/1"))

    def test_page_malformed(self):
        self.begin("page", participant="A")
        self.run = "A/1/page"
        for body in ('[{"trialdata": "x"}]', [5], "null"):
            status, answer, _ = self.page("data=" + urllib.parse.quote(body if isinstance(body, str) else json.dumps(body)), "application/x-www-form-urlencoded")
            self.assertEqual(status, 200, answer)
        self.assertEqual([r["value"] for r in self.table("A", "page.csv")], ["x", "5", ""])
        self.assertEqual(self.page("{")[0], 400)
        for cookie in ("x", "run=A", "run=A/2/page", "run=A/1/stroop", "run=../x/1/page"):
            self.assertIn(self.page("[1]", cookie=cookie)[0], (400, 404))

    def test_setup(self):
        said = self.ask("GET", "/api/setup")[1]
        self.assertFalse(said["kept"])
        self.assertEqual(len(said["problems"]), 1)
        self.assertTrue(next(e for e in said["experiments"] if e["id"] == "likert")["fixed"])


class Started(unittest.TestCase):
    """The command."""

    def run_it(self, *arguments, cwd="/"):
        return subprocess.run([sys.executable, os.path.join(os.path.dirname(battery.__file__), "expfactory.py"), *arguments],
                              cwd=cwd, capture_output=True, text=True, timeout=60)

    def test_nowhere(self):
        if os.path.ismount("/data"):
            self.skipTest("/data is bound here")
        r = self.run_it()  # the current folder is the container's own
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("-B FOLDER:/data", r.stderr)

    def test_outside(self):
        self.assertFalse(expfactory.outside("/"))
        self.assertTrue(expfactory.outside("/proc/self"))

    def test_refuses(self):
        for arguments, want in [(["--set", "dealine=1"], "Do you mean deadline?"), (["nothing"], "there is no experiment"), (["likert", "--set", "trials=3"], "no parameter trials"),
                                (["--trials", "0"], "greater than 0"), (["--set", "x"], "NAME=VALUE")]:
            r = self.run_it(*arguments)
            self.assertEqual(r.returncode, 2)
            self.assertIn(want, r.stderr)

    def test_list(self):
        r = self.run_it("--list")
        self.assertIn("--set direction=…", r.stdout)


if __name__ == "__main__":
    unittest.main()
