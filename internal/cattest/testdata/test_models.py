"""Tests of how the model explorer reads models, which need nothing but Python."""
import os
import tempfile
import typing
import unittest

import models


class Models(unittest.TestCase):
    def test_controls(self):
        def model(a: (0, 2, "A") = 0.5, b: (5, 50) = 20, c=3.0, d=4, e=-2, f=0, g: ["x", "y"] = "y", h: "Label" = True, i: typing.Literal[1, 2] = 2, j="text", k: range(0, 10, 2) = 4,
                  l: (0.5, 1.5, 0.25) = 1, long_name: (["p", "q"], "Which") = "p", *more, **others):
            pass
        got = {p["name"]: {k: v for k, v in p.items() if k != "name"} for p in models.parameters(model)}
        self.assertEqual(got, {
            "a": {"label": "A", "value": 0.5, "kind": "number", "low": 0, "high": 2, "step": 0.01, "whole": False},
            "b": {"label": "b", "value": 20, "kind": "number", "low": 5, "high": 50, "step": 1, "whole": True},
            "c": {"label": "c", "value": 3.0, "kind": "number", "low": 0, "high": 6.0, "step": 0.01, "whole": False},
            "d": {"label": "d", "value": 4, "kind": "number", "low": 0, "high": 8, "step": 1, "whole": True},
            "e": {"label": "e", "value": -2, "kind": "number", "low": -4, "high": 0, "step": 1, "whole": True},
            "f": {"label": "f", "value": 0, "kind": "number", "low": 0, "high": 1, "step": 0.01, "whole": False},
            "g": {"label": "g", "value": "y", "kind": "choice", "choices": ["x", "y"]},
            "h": {"label": "Label", "value": True, "kind": "box"},
            "i": {"label": "i", "value": 2, "kind": "choice", "choices": [1, 2]},
            "j": {"label": "j", "value": "text", "kind": "text"},
            "k": {"label": "k", "value": 4, "kind": "number", "low": 0, "high": 10, "step": 2, "whole": True},
            "l": {"label": "l", "value": 1, "kind": "number", "low": 0.5, "high": 1.5, "step": 0.25, "whole": False},
            "long_name": {"label": "Which", "value": "p", "kind": "choice", "choices": ["p", "q"]},
        })

    def test_mistakes(self):
        def none(a): pass
        def beyond(a: (0, 1) = 2): pass
        def turned(a: (1, 0) = 1): pass
        def odd(a: ("x", 1) = 1): pass
        def endless(a: (0, float("inf")) = 1): pass
        def choice(a: ["x"] = "y"): pass
        def kind(a=[]): pass
        def step(a: (0, 1, 0) = 0.5): pass
        for function in (none, beyond, turned, odd, endless, choice, kind, step):
            with self.subTest(function.__name__), self.assertRaises(models.Wrong):
                models.parameters(function)

    def test_values(self):
        def model(a: (0, 2) = 0.5, n: (1, 9) = 3, way: ["x", 2] = "x", box=False, text="t"): pass
        p = models.parameters(model)
        self.assertEqual(models.values(p, {}), {"a": 0.5, "n": 3, "way": "x", "box": False, "text": "t"})
        self.assertEqual(models.values(p, {"a": "1e0", "n": "4.0", "way": "2", "box": "1", "text": "<b>"}), {"a": 1.0, "n": 4, "way": 2, "box": True, "text": "<b>"})
        for asked in ({"a": "3"}, {"a": "-0.1"}, {"a": "nan"}, {"a": "x"}, {"way": "z"}, {"n": "inf"}):
            with self.subTest(asked), self.assertRaises(models.Wrong):
                models.values(p, asked)

    def test_files(self):
        here = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {"b.py": "def model(): pass", "model.py": '"""Title.\n\nText"""\nimport helper\ndef model(x=helper.start): return {}', "helper.py": "start = 7", "_x.py": "def model(): pass", "c.txt": "def model"}.items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    f.write(text)
            found = models.files(folder)
            self.assertEqual(list(found), ["model", "b"])
            try:
                described = models.describe(models.load(found["model"]))
            finally:
                os.chdir(here)
            self.assertEqual((described["title"], described["text"], described["parameters"][0]["value"]), ("Title", "Text", 7))
            self.assertFalse(os.path.exists(os.path.join(folder, "__pycache__")))
        with self.assertRaises(models.Wrong):
            models.files(folder)


unittest.main()
