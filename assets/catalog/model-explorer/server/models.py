"""Reads what a model is from its file: a function named model, whose parameters become sliders.

A parameter is described by its default and, if there is one, its annotation:

    beta: (0.05, 1, "Infections per day") = 0.3      a slider from 0.05 to 1
    days: (10, 365, 5, "Days") = 160                  … in steps of 5
    method: ["RK45", "LSODA"] = "LSODA"               a choice
    births: "With births" = False                     a box to tick; any text alone is the label
    gamma = 0.1                                       a slider from 0 to twice the default
"""
import importlib.util
import inspect
import math
import os
import sys
import typing


class Wrong(Exception):
    """What somebody who writes a model, or moves its sliders, has to change."""


def files(folder):
    """The models of a folder: name → path, model.py first."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise Wrong(f"{folder} cannot be read: {error.strerror}") from None
    found = {n[:-3]: os.path.join(folder, n) for n in names if n.endswith(".py") and not n.startswith((".", "_")) and is_model(os.path.join(folder, n))}
    return dict(sorted(found.items(), key=lambda item: item[0] != "model"))


def is_model(path):
    """Whether a file has a function of that name; a file that cannot be understood is shown, with its error."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return "def model" in f.read(1 << 20)
    except OSError:
        return False


def load(path):
    """The module of a model, read anew. Files beside it can be imported and opened as if one were in its folder."""
    folder = os.path.dirname(path)
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    name = os.path.basename(path)[:-3]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "model", None)):
        raise Wrong(f"{os.path.basename(path)} has no function named model.")
    return module


def describe(module):
    """Title, text and parameters of a model."""
    text = inspect.getdoc(module) or inspect.getdoc(module.model) or ""
    title, _, rest = text.partition("\n")
    return {"title": title.strip().rstrip(".") or module.__name__, "text": rest.strip(), "parameters": parameters(module.model)}


def parameters(function):
    """The parameters of a function, as the page shows them."""
    result = []
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.default is p.empty:
            raise Wrong(f"The parameter {p.name} needs a default: {p.name}=1.")
        note = p.annotation if p.annotation is not p.empty else None
        result.append({"name": p.name, "label": p.name.replace("_", " "), "value": p.default, **control(p.name, p.default, note)})
    return result


def control(name, default, note):
    """How a parameter is set: number, choice, box or text."""
    if typing.get_origin(note) is typing.Literal:
        note = list(typing.get_args(note))
    label = {}
    if isinstance(note, str):
        label, note = {"label": note}, None
    elif isinstance(note, tuple) and note and isinstance(note[-1], str) and not all(isinstance(n, str) for n in note):
        label, note = {"label": note[-1]}, note[:-1]
        if len(note) == 1 and isinstance(note[0], list):
            note = note[0]
    if isinstance(default, bool):
        return {"kind": "box", **label}
    if isinstance(note, list) or isinstance(note, tuple) and note and all(isinstance(n, str) for n in note):
        if default not in note:
            raise Wrong(f"The parameter {name} has the default {default!r}, which is none of {', '.join(map(str, note))}.")
        return {"kind": "choice", "choices": list(note), **label}
    if isinstance(default, (int, float)):
        return {"kind": "number", **limits(name, default, note), **label}
    if isinstance(default, str):
        return {"kind": "text", **label}
    raise Wrong(f"The parameter {name} has a default that is no number, text or truth value: {default!r}.")


def limits(name, default, note):
    """From where to where a number goes, in which steps."""
    whole = isinstance(default, int)
    if isinstance(note, (tuple, range)):
        numbers = (note.start, note.stop, note.step) if isinstance(note, range) else note
        if len(numbers) not in (2, 3) or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
            raise Wrong(f"The range of {name} is written (lowest, highest) or (lowest, highest, step), with a text at the end if you like.")
        low, high, *step = numbers
        whole = whole and all(isinstance(n, int) for n in numbers)
    else:
        low, high, step = (0, 2 * default, []) if default > 0 else (2 * default, 0, []) if default < 0 else (0, 1, [])
        whole = whole and default != 0
    if not low < high or not low <= default <= high:
        raise Wrong(f"The parameter {name} goes from {low} to {high} with the default {default}.")
    # A hundred steps or more, of a round number.
    size = step[0] if step else 10.0 ** math.floor(math.log10((high - low) / 100)) if not whole else 1
    if size <= 0:
        raise Wrong(f"The step of {name} is greater than 0.")
    return {"low": low, "high": high, "step": size, "whole": whole}


def values(described, asked):
    """The arguments of a run out of what a page sent, which is text; what it did not send has its default."""
    result = {}
    for p in described:
        name, text = p["name"], asked.get(p["name"])
        if text is None:
            result[name] = p["value"]
        elif p["kind"] == "box":
            result[name] = text in ("1", "true", "on")
        elif p["kind"] == "choice":
            chosen = [c for c in p["choices"] if str(c) == text]
            if not chosen:
                raise Wrong(f"{p['label']} is one of {', '.join(map(str, p['choices']))}.")
            result[name] = chosen[0]
        elif p["kind"] == "number":
            try:
                number = float(text)
            except ValueError:
                raise Wrong(f"{p['label']}: {text!r} is no number.") from None
            if not p["low"] <= number <= p["high"]:
                raise Wrong(f"{p['label']} goes from {p['low']} to {p['high']}.")
            result[name] = round(number) if p["whole"] else number
        else:
            result[name] = text[:1000]
    return result
