#!/usr/bin/python3
"""The model explorer: a page with a slider for each parameter of a model, and what the model gives."""
import base64
import math
import os
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.environ.get("MODELS", "/model")


def app():
    """The pages."""
    import flask

    import models
    import work

    web = flask.Flask("explorer", static_folder=os.path.join(os.path.dirname(HERE), "web"), static_url_path="/web")
    web.json.sort_keys = False
    seconds = limit()
    known = {}  # descriptions, by what the file was

    def stamp(path):
        info = os.stat(path)
        return f"{info.st_mtime_ns}-{info.st_size}"

    def describe(name, path):
        key = (path, stamp(path))
        if key not in known:
            answer = work.do("describe", path, seconds)
            # Beside it may be what it imports: an error is looked at again each time.
            if "error" in answer:
                return {"id": name, "title": name, **answer}
            known[key] = answer
        return {"id": name, **known[key]}

    def chosen():
        """The model of a request and the values it asks for."""
        found = models.files(FOLDER)
        name = flask.request.args.get("model", "")
        if name not in found:
            flask.abort(flask.make_response({"error": f"There is no model {name}."}, 404))
        return name, found[name], {k: v for k, v in flask.request.args.items() if k not in ("model", "compare")}

    @web.after_request
    def headers(response):
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'"
        return response

    @web.errorhandler(models.Wrong)
    def wrong(error):
        return {"error": str(error)}, 400

    @web.get("/")
    def page():
        return web.send_static_file("index.html")

    @web.get("/api/ready")
    def ready():
        return {"models": len(models.files(FOLDER))}

    @web.get("/api/models")
    def all_models():
        return {"folder": FOLDER, "models": [describe(n, p) for n, p in models.files(FOLDER).items()]}

    @web.get("/api/stamp")
    def stamps():
        """Changes when a file of the folder does."""
        newest = []
        for entry in os.scandir(FOLDER):
            if not entry.name.startswith((".", "_")) and entry.is_file():
                newest.append(f"{entry.name}-{stamp(entry.path)}")
        return {"stamp": " ".join(sorted(newest)[:200])}

    @web.get("/api/draw")
    def draw():
        _, path, asked = chosen()
        answer = work.do("draw", path, seconds, asked=asked, compare=flask.request.args.get("compare") == "1")
        picture = answer.pop("picture", b"")
        if picture:
            answer["picture"] = "data:image/svg+xml;base64," + base64.b64encode(picture).decode()
        return answer

    @web.get("/api/picture.<form>")
    def picture(form):
        kinds = {"png": "image/png", "pdf": "application/pdf", "svg": "image/svg+xml"}
        if form not in kinds:
            flask.abort(404)
        name, path, asked = chosen()
        answer = work.do("draw", path, seconds, asked=asked, form=form, compare=flask.request.args.get("compare") == "1")
        return download(answer, answer.get("picture"), kinds[form], f"{name}.{form}")

    @web.get("/api/table.csv")
    def table():
        name, path, asked = chosen()
        answer = work.do("table", path, seconds, asked=asked)
        return download(answer, answer.get("csv"), "text/csv; charset=utf-8", f"{name}.csv")

    @web.get("/api/source")
    def source():
        _, path, _ = chosen()
        return flask.send_file(path, mimetype="text/plain")

    def download(answer, content, kind, name):
        if "error" in answer or not content:
            return flask.Response(answer.get("error", "The model has nothing to draw."), 422, mimetype="text/plain")
        response = flask.Response(content, mimetype=kind)
        response.headers.set("Content-Disposition", "attachment", filename=name)
        return response

    return web


def limit():
    """How long a model may take."""
    try:
        seconds = float(os.environ.get("SECONDS_TO_RUN") or 20)
        if 0 < seconds < math.inf:
            return seconds
    except ValueError:
        pass
    sys.exit("SECONDS_TO_RUN is a number of seconds greater than 0.")


def main():
    address, port = os.environ.get("ADDRESS") or "127.0.0.1", int(os.environ.get("PORT") or 8085)
    # The font list of Matplotlib comes with the image; what it writes is in a folder that ends with the server.
    private = tempfile.mkdtemp(prefix="model-explorer-")
    os.environ["MPLCONFIGDIR"], os.environ["TMPDIR"], os.environ["MPLBACKEND"] = os.path.join(private, "matplotlib"), private, "Agg"
    tempfile.tempdir = private
    try:
        shutil.copytree("/usr/local/share/matplotlib-cache", os.environ["MPLCONFIGDIR"])
    except OSError:
        pass  # Matplotlib makes it again
    if not os.access(os.path.expanduser("~"), os.W_OK):
        os.environ["HOME"] = private
    import waitress

    import models
    import work
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        found = models.files(FOLDER)
        print(f"Models in {FOLDER}: {', '.join(found) or 'none yet'}", flush=True)
        for path in list(found.values())[:1]:
            work.do("describe", path, limit())  # the libraries are there when the first page asks
        print(f"Open http://{address}:{port}/", flush=True)
        waitress.serve(app(), host=address, port=port, threads=8, ident=None)
    except models.Wrong as wrong:
        sys.exit(str(wrong))
    except OSError as error:
        sys.exit(f"Port {port}: {error.strerror}. Name another one: PORT=8086")
    finally:
        shutil.rmtree(private, ignore_errors=True)


if __name__ == "__main__":
    main()
