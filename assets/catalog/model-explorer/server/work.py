"""What is done with a model, each time in a process of its own: so a model that is never done can be ended, one that crashes takes
nothing along, and its file is always read as it is now."""
import contextlib
import io
import itertools
import multiprocessing
import os
import threading
import time
import traceback

import models

MOST_ROWS = 1_000_000
MOST_PRINTED = 20_000

# A process that has the large libraries already, from which the others are copied.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["numpy", "scipy.integrate", "scipy.optimize", "scipy.stats", "matplotlib.pyplot", "matplotlib.backends.backend_svg", "models", "work"])
places = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


def do(job, path, seconds, **options):
    """Does a job in another process, within so many seconds. The answer has error where it failed."""
    with places:
        mine, its = context.Pipe(duplex=False)
        process = context.Process(target=run, args=(its, job, path, options), daemon=True)
        process.start()
        its.close()
        try:
            if not mine.poll(seconds):
                return {"error": f"The model was not done after {seconds:g} seconds, and has been stopped."}
            return mine.recv()
        except EOFError:
            process.join(5)
            return {"error": "The model ended this process" + (f" (signal {-process.exitcode})." if (process.exitcode or 0) < 0 else ".")}
        finally:
            mine.close()
            process.kill()
            process.join()
            process.close()


def run(pipe, job, path, options):
    """In the other process."""
    printed = io.StringIO()
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            answer = {"describe": describe, "draw": draw, "table": table}[job](path, **options)
    except models.Wrong as wrong:
        answer = {"error": str(wrong)}
    except BaseException as error:  # a model may call exit() too
        answer = {"error": explain(error, path)}
    answer["printed"] = printed.getvalue()[:MOST_PRINTED]
    answer["seconds"] = round(time.monotonic() - started, 3)
    pipe.send(answer)
    pipe.close()


def explain(error, path):
    """The error as the writer of the model needs it: from the model's file on."""
    trace = traceback.TracebackException.from_exception(error)
    here = os.path.dirname(os.path.abspath(__file__))
    trace.stack = traceback.StackSummary.from_list(
        itertools.dropwhile(lambda f: os.path.dirname(f.filename) == here or f.filename.startswith("<frozen"), trace.stack))
    return "".join(trace.format()).replace(os.path.dirname(path) + os.sep, "").strip()


def describe(path):
    return models.describe(models.load(path))


def compute(path, asked):
    """What a model gives for the values asked for."""
    module = models.load(path)
    described = models.parameters(module.model)
    return module, described, split(module.model(**models.values(described, asked)))


def split(result):
    """Columns and single numbers of a result, and the figure if the model has drawn one itself."""
    import numpy
    from matplotlib.figure import Figure

    figure = None
    if isinstance(result, Figure):
        return {}, {}, result
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Figure):
        result, figure = result
    if not isinstance(result, dict):
        raise models.Wrong("The function model returns a dictionary: names, and for each a number or a list of numbers. The first list is the x axis. "
                           f"It returned {type(result).__name__}.")
    columns, numbers = {}, {}
    for name, value in result.items():
        array = numpy.asarray(value)
        if array.ndim == 0:
            numbers[str(name)] = array.item()
        elif array.ndim == 1 and len(array) <= MOST_ROWS and numpy.issubdtype(array.dtype, numpy.number) and not numpy.iscomplexobj(array):
            columns[str(name)] = array
        else:
            raise models.Wrong(f"{name} is neither a number nor a list of at most {MOST_ROWS} real numbers: its shape is {array.shape}, its type {array.dtype}.")
    lengths = {n: len(c) for n, c in columns.items()}
    if len(set(lengths.values())) > 1:
        raise models.Wrong("The lists are not of the same length: " + ", ".join(f"{n} {length}" for n, length in lengths.items()) + ".")
    return columns, numbers, figure


def draw(path, asked, form="svg", compare=False):
    """A picture of the result, and its single numbers."""
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams.update({
        "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "figure.constrained_layout.use": True,
        "axes.prop_cycle": matplotlib.cycler(color=["#2f6f6a", "#c2571a", "#3b5fa8", "#a83253", "#7a6a1f", "#6d4a9c"]), "lines.linewidth": 2,
        "svg.hashsalt": "model", "axes.formatter.useoffset": False,
    })
    from matplotlib import pyplot

    module, described, (columns, numbers, figure) = compute(path, asked)
    if figure is None and columns:
        figure, axes = pyplot.subplots(figsize=(7.2, 4.4))
        if compare:
            reference, _, _ = split(module.model(**models.values(described, {})))
            curves(axes, reference, faint=True)
        if callable(getattr(module, "plot", None)):
            module.plot(axes, {**columns, **numbers})
        else:
            curves(axes, columns)
    picture = io.BytesIO()
    if figure is not None:
        figure.savefig(picture, format=form, dpi=200, metadata={"Date": None} if form == "svg" else None)
    return {"picture": picture.getvalue(), "numbers": {n: shown(v) for n, v in numbers.items()}, "rows": len(next(iter(columns.values()), []))}


def curves(axes, columns, faint=False):
    """All columns against the first."""
    names = list(columns)
    if len(names) == 1:
        axes.plot(columns[names[0]], **({"color": "#999999", "linestyle": "--", "linewidth": 1.2} if faint else {}))
        axes.set_ylabel(names[0])
        return
    for i, name in enumerate(names[1:]):
        style = {"color": f"C{i}", "alpha": 0.45, "linestyle": "--", "linewidth": 1.3} if faint else {"color": f"C{i}", "label": name}
        axes.plot(columns[names[0]], columns[name], **style)
    if not faint:
        axes.set_xlabel(names[0])
        axes.legend(frameon=False, loc="best") if len(names) > 2 else axes.set_ylabel(names[1])


def table(path, asked):
    """The result as CSV: its lists as columns, or its numbers where it has no lists."""
    _, _, (columns, numbers, _) = compute(path, asked)
    lines = [",".join(quote(n) for n in (columns or numbers))]
    rows = zip(*(c.tolist() for c in columns.values())) if columns else [tuple(numbers.values())]
    lines += [",".join(quote(repr(v) if isinstance(v, float) else v) for v in row) for row in rows]
    return {"csv": "\n".join(lines) + "\n"}


def quote(value):
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text


def shown(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)
