#!/usr/bin/python3
"""The viewer: a page that shows images of NIfTI, DICOM and FITS files in a folder, which are only read."""
import io
import math
import os
import signal
import sys

import numpy

import volumes

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.environ.get("DATA") or "/data"
MOST_PIXELS = 2048


def tables():
    """Colours for the values 0 to 255."""
    t = numpy.linspace(0, 1, 256)
    heat = numpy.stack([numpy.clip(3 * t, 0, 1), numpy.clip(3 * t - 1, 0, 1), numpy.clip(3 * t - 2, 0, 1)], axis=1)
    cool = numpy.stack([numpy.clip(2 * t - 1, 0, 1), t, numpy.clip(2 * t, 0, 1)], axis=1)
    return {n: (255 * c + 0.5).astype("uint8") for n, c in {"heat": heat, "cool": cool}.items()}


COLOURS = tables()
CURVES = {"linear": lambda v: v, "root": numpy.sqrt, "log": lambda v: numpy.log1p(1000 * v) / math.log(1001)}


def limits(volume):
    """The smallest and largest value, and those to begin with: what the file says, or all but the outermost."""
    data = volume.data
    step = max(1, data.size // 1_000_000)
    some = data.reshape(-1)[::step] if data.flags.c_contiguous else data.ravel(order="K")[::step]
    some = some[numpy.isfinite(some)]
    if not some.size:
        return 0.0, 1.0, 0.0, 1.0
    low, high = float(numpy.nanmin(numpy.where(numpy.isfinite(data), data, numpy.nan))), float(numpy.nanmax(numpy.where(numpy.isfinite(data), data, numpy.nan)))
    if high <= low:
        high = low + 1
    start, end = volume.window or (float(p) for p in numpy.percentile(some, (0.5, 99.7)))
    start, end = max(start, low), min(end, high)
    return low, high, *((start, end) if end > start else (low, high))


def cut(volume, axis, index, time):
    """A plane across an axis, as rows from top to bottom, and the factor by which it was made smaller."""
    data = volume.data
    index, time = min(max(index, 0), data.shape[axis] - 1), min(max(time, 0), data.shape[3] - 1)
    plane = data[..., time].take(index, axis=axis).T[::-1]
    step = max(1, -(-max(plane.shape) // MOST_PIXELS))
    return plane[::step, ::step]


def picture(plane, low, high, curve, colours):
    """A plane as PNG: low is black, high is white; what is no number is the darkest too."""
    from PIL import Image
    values = numpy.clip((numpy.nan_to_num(plane, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-30), 0, 1)
    values = (255 * CURVES[curve](values) + 0.5).astype("uint8")
    if colours == "inverted":
        values = 255 - values
    image = Image.fromarray(COLOURS[colours][values]) if colours in COLOURS else Image.fromarray(numpy.ascontiguousarray(values))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def app(library):
    """The pages of a library."""
    import flask

    web = flask.Flask("viewer", static_folder=os.path.join(os.path.dirname(HERE), "web"), static_url_path="/web")
    web.json.sort_keys = False

    @web.after_request
    def headers(response):
        response.headers["Content-Security-Policy"] = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-cache"
        return response

    @web.errorhandler(volumes.Wrong)
    def wrong(error):
        return {"error": str(error)}, 400

    @web.errorhandler(MemoryError)
    def full(_):
        return {"error": "There is not enough memory for this image."}, 507

    @web.get("/")
    def page():
        return web.send_static_file("index.html")

    @web.get("/ready")
    def ready():
        return "ready\n"

    @web.get("/api/items")
    def items():
        return {"folder": library.top, "items": library.items()}

    def asked(name, default, kind):
        try:
            value = kind(flask.request.args.get(name, default))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise volumes.Wrong(f"{name} is a number.")
        return value

    @web.get("/api/volume")
    def volume():
        v = library.volume(flask.request.args.get("item", ""))
        low, high, start, end = limits(v)
        shape = v.data.shape
        planes = []
        for name, axis in v.planes:
            across, up = [a for a in (0, 1, 2) if a != axis]
            planes.append({"name": name, "axis": axis, "across": across, "up": up, "count": shape[axis], "columns": shape[across], "rows": shape[up],
                           "width": shape[across] * v.zooms[across], "height": shape[up] * v.zooms[up], "labels": v.labels.get(axis, "")})
        return {"kind": v.kind, "shape": shape, "zooms": v.zooms, "times": shape[3], "planes": planes, "low": low, "high": high, "start": start, "end": end, "header": v.header, "note": v.note}

    @web.get("/api/slice.png")
    def slice_():
        v = library.volume(flask.request.args.get("item", ""))
        axis, curve = asked("axis", 2, int), flask.request.args.get("curve", "linear")
        if axis not in (0, 1, 2) or curve not in CURVES:
            raise volumes.Wrong("There is no such plane.")
        plane = cut(v, axis, asked("index", 0, int), asked("time", 0, int))
        return flask.Response(picture(plane, asked("low", 0, float), asked("high", 1, float), curve, flask.request.args.get("colours", "grey")), mimetype="image/png")

    @web.get("/api/value")
    def value():
        v = library.volume(flask.request.args.get("item", ""))
        at = [min(max(asked(n, 0, int), 0), s - 1) for n, s in zip(("x", "y", "z", "time"), v.data.shape)]
        number = float(v.data[tuple(at)])
        return {"value": f"{number:.6g}", "place": v.place(*at[:3]) if v.place else ""}

    return web


def main():
    address, port = os.environ.get("ADDRESS") or "127.0.0.1", int(os.environ.get("PORT") or 8087)
    most = int(os.environ.get("MOST_MB") or 2000)
    import waitress

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if not os.path.isdir(FOLDER):
        sys.exit(f"There is no folder {FOLDER}. Bind one: -B FOLDER:/data")
    library = volumes.Library(FOLDER, most)
    print(f"Images in {FOLDER}; they are only read", flush=True)
    print(f"Open http://{address}:{port}/", flush=True)
    try:
        waitress.serve(app(library), host=address, port=port, threads=8, ident=None)
    except OSError as error:
        sys.exit(f"Port {port}: {error.strerror}. Name another one: PORT=8088")


if __name__ == "__main__":
    main()
