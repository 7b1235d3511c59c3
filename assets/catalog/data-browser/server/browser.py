#!/usr/bin/python3
"""The data browser: a page of tables for the files in a folder, which are only read."""
import csv
import io
import os
import shutil
import signal
import sys
import tempfile
import urllib.parse

import summary
import tables

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.environ.get("DATA") or "/data"
PAGE, MOST_SHOWN, MOST_EXPORTED = 50, 1000, 5_000_000


def app(library):
    """The pages of a library."""
    import flask

    web = flask.Flask("browser", root_path=HERE, template_folder="templates", static_folder=os.path.join(os.path.dirname(HERE), "web"), static_url_path="/web")
    web.jinja_env.globals.update(shown=shown, isnumber=lambda v: isinstance(v, (int, float)), size=size, link=link)
    web.jinja_env.trim_blocks = web.jinja_env.lstrip_blocks = True

    @web.after_request
    def headers(response):
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    @web.errorhandler(tables.Wrong)
    def wrong(error):
        return flask.render_template("problem.html", problem=str(error)), 400

    @web.errorhandler(404)
    def missing(_):
        return flask.render_template("problem.html", problem="There is nothing here."), 404

    @web.get("/ready")
    def ready():
        return "ready\n"

    @web.get("/")
    def files():
        return flask.render_template("files.html", files=tables.files(library.top), folder=library.top, most=tables.MOST_FILES)

    def asked():
        """The file of a request."""
        name = flask.request.args.get("file", "")
        return name, library.source(name)

    @web.get("/file")
    def file():
        name, source = asked()
        found = source.tables()
        if len(found) == 1:
            return flask.redirect(link("/table", file=name, table=found[0][0]))
        counts = {}
        for table, _, _ in found:
            try:
                with source.connect(1) as db:
                    counts[table] = db.execute(f"SELECT count(*) FROM {tables.quote(table)}").fetchone()[0]
            except tables.Wrong:
                counts[table] = None
        return flask.render_template("file.html", name=name, tables=found, counts=counts)

    def chosen(source):
        """Table, columns, condition and order of a request."""
        a = flask.request.args
        table = a.get("table", "")
        columns = source.columns(table)
        filters = {k[2:]: v for k, v in a.items() if k.startswith("f.") and v.strip()}
        condition, values = tables.where(columns, filters)
        sort = a.get("sort") if a.get("sort") in columns else None
        down = a.get("down") == "1"
        order = f" ORDER BY {tables.quote(sort)}{' DESC' if down else ''}" if sort else ""
        return table, columns, filters, condition, values, sort, down, order

    @web.get("/table")
    def table():
        name, source = asked()
        title, columns, filters, condition, values, sort, down, order = chosen(source)
        page = max(1, flask.request.args.get("page", 1, type=int))
        with source.connect() as db:
            total = db.execute(f"SELECT count(*) FROM {tables.quote(title)}{condition}", values).fetchone()[0]
            page = min(page, max(1, -(-total // PAGE)))
            rows = db.execute(f"SELECT * FROM {tables.quote(title)}{condition}{order} LIMIT {PAGE} OFFSET {(page - 1) * PAGE}", values).fetchall()
        here = {"file": name, "table": title, **{"f." + k: v for k, v in filters.items()}}
        sorting = {"sort": sort, "down": "1" if down else None} if sort else {}
        return flask.render_template("table.html", name=name, table=title, columns=columns, rows=rows, total=total, page=page, pages=max(1, -(-total // PAGE)),
                                     first=(page - 1) * PAGE, filters=filters, here=here, sorting=sorting, sort=sort, down=down)

    @web.get("/column")
    def column():
        name, source = asked()
        title, columns, filters, condition, values, *_ = chosen(source)
        which = flask.request.args.get("column", "")
        if which not in columns:
            raise tables.Wrong(f"There is no column {which!r}.")
        with source.connect() as db:
            facts, bars, ranges = summary.summarize(db, title, which, condition, values)
        here = {"file": name, "table": title, **{"f." + k: v for k, v in filters.items()}}
        return flask.render_template("column.html", name=name, table=title, column=which, columns=columns, facts=facts, bars=bars, ranges=ranges, filters=filters, here=here,
                                     most=max([n for _, n in bars], default=1))

    @web.get("/sql")
    def sql():
        name, source = asked()
        question = flask.request.args.get("q", "").strip().rstrip(";")
        found = source.tables()
        answer = {"columns": [], "rows": [], "more": False, "problem": ""}
        if question:
            try:
                with source.connect() as db:
                    cursor = db.execute(question)
                    answer["columns"] = [d[0] for d in cursor.description or []]
                    answer["rows"] = cursor.fetchmany(MOST_SHOWN)
                    answer["more"] = cursor.fetchone() is not None
            except tables.Wrong as wrong:
                answer["problem"] = str(wrong)
        elif found:
            question = f"SELECT * FROM {tables.quote(found[0][0])} LIMIT 10"
        return flask.render_template("sql.html", name=name, tables=found, question=question, most=MOST_SHOWN, asked="q" in flask.request.args, **answer)

    @web.get("/export.csv")
    def export():
        name, source = asked()
        if "q" in flask.request.args:
            question, values, title = flask.request.args["q"].strip().rstrip(";"), [], "answer"
        else:
            title, _, _, condition, values, _, _, order = chosen(source)
            question = f"SELECT * FROM {tables.quote(title)}{condition}{order}"
        lines = export_lines(source, question, values)
        first = next(lines)  # an error is shown as a page
        response = flask.Response(flask.stream_with_context(chain(first, lines)), mimetype="text/csv")
        response.headers.set("Content-Disposition", "attachment", filename=title + ".csv")
        return response

    return web


def chain(first, rest):
    yield first
    yield from rest


def export_lines(source, question, values):
    """The answer to a question as CSV, piece by piece."""
    with source.connect(120) as db:
        cursor = db.execute(question, values)
        out = io.StringIO()
        write = csv.writer(out, lineterminator="\n")
        write.writerow([d[0] for d in cursor.description or []])
        count = 0
        while rows := cursor.fetchmany(2000):
            count += len(rows)
            write.writerows([v.hex() if isinstance(v, bytes) else v for v in row] for row in rows)
            yield out.getvalue()
            out.seek(0)
            out.truncate()
            if count >= MOST_EXPORTED:
                raise tables.Wrong("The answer has too many rows.")
        yield out.getvalue()


def link(path, **asked):
    return path + "?" + urllib.parse.urlencode({k: v for k, v in asked.items() if v is not None})


def shown(value, most=300):
    """A value as it is written in a table."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = str(value)
    return text if len(text) <= most else text[:most] + " …"


def size(n):
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "bytes" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1000


def main():
    address, port = os.environ.get("ADDRESS") or "127.0.0.1", int(os.environ.get("PORT") or 8086)
    most = int(os.environ.get("MOST_MB") or 1000)
    import waitress

    private = tempfile.mkdtemp(prefix="data-browser-")
    # What SQLite sorts and cannot keep in memory goes there too, and nothing into the folder with the data.
    os.environ["SQLITE_TMPDIR"] = private
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if not os.path.isdir(FOLDER):
            sys.exit(f"There is no folder {FOLDER}. Bind one: -B FOLDER:/data")
        print(f"{len(tables.files(FOLDER))} files in {FOLDER}; they are only read", flush=True)
        print(f"Open http://{address}:{port}/", flush=True)
        waitress.serve(app(tables.Library(FOLDER, private, most)), host=address, port=port, threads=8, ident=None)
    except OSError as error:
        sys.exit(f"Port {port}: {error.strerror}. Name another one: PORT=8087")
    finally:
        shutil.rmtree(private, ignore_errors=True)


if __name__ == "__main__":
    main()
