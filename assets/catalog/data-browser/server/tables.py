"""Tables out of files that are only read: SQLite databases as they are, CSV and TSV files through a database made of them.

Whatever is asked of a database goes through Source.connect: nothing can be written or opened besides, every question has a time
and a row limit, and nothing larger than MOST_BYTES is made up on the way."""
import collections
import contextlib
import csv
import gzip
import itertools
import math
import os
import re
import sqlite3
import threading
import time

DATABASES = (".db", ".db3", ".sqlite", ".sqlite3")
TEXTS = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz")
MOST_FILES = 2000
MOST_BYTES = 20 << 20
MISSING = {"", "na", "n/a", "nan", "null", "none", "#n/a"}
csv.field_size_limit(MOST_BYTES)


class Wrong(Exception):
    """What somebody who looks at the data has to know."""


def files(top):
    """The files below a folder that can be shown: relative path, size and time of change, the folder's own first."""
    found = []
    for folder, below, names in os.walk(top):
        below[:] = sorted(n for n in below if not n.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not name.lower().endswith(DATABASES + TEXTS):
                continue
            path = os.path.join(folder, name)
            try:
                inside(top, os.path.relpath(path, top))
                info = os.stat(path)
            except (Wrong, OSError):
                continue
            found.append((os.path.relpath(path, top), info.st_size, info.st_mtime))
            if len(found) >= MOST_FILES:
                return found
    return found


def inside(top, name):
    """The path of a file that is named by an address; what leads out of the folder is refused."""
    top = os.path.realpath(top)
    if "\0" in name or any(part.startswith(".") for part in name.split("/")):
        raise Wrong(f"There is no file {name!r}.")
    path = os.path.realpath(os.path.join(top, name))
    if os.path.commonpath([top, path]) != top or not os.path.isfile(path) or not path.lower().endswith(DATABASES + TEXTS):
        raise Wrong(f"There is no file {name!r}.")
    return path


def quote(name):
    """A name of a table or column in SQL."""
    return '"' + name.replace('"', '""') + '"'


class Library:
    """The files of a folder, and the databases that were made of texts, in a folder of their own."""

    def __init__(self, top, private, most_megabytes=1000, keep=8):
        self.top, self.private, self.most, self.keep = top, private, most_megabytes << 20, keep
        self.made = collections.OrderedDict()
        self.lock, self.numbers = threading.Lock(), itertools.count(1)

    def source(self, name):
        path = inside(self.top, name)
        if path.lower().endswith(DATABASES):
            return Source(path)
        return Source(self.database(path))

    def database(self, path):
        """The database of a text file, made when it is first asked for and when the file has changed."""
        info = os.stat(path)
        key = (path, info.st_mtime_ns, info.st_size)
        with self.lock:
            if key in self.made:
                self.made.move_to_end(key)
                return self.made[key]
            if info.st_size > self.most:
                raise Wrong(f"{os.path.basename(path)} has {info.st_size >> 20} MB; at most {self.most >> 20} MB are read (MOST_MB). Make a SQLite database of it.")
            target = os.path.join(self.private, f"{next(self.numbers)}.sqlite")
            try:
                load(path, target, self.most * 4)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.remove(target)
                raise
            self.made[key] = target
            while len(self.made) > self.keep:
                # Whoever reads it just now has it open, and goes on.
                with contextlib.suppress(OSError):
                    os.remove(self.made.popitem(last=False)[1])
            return target


def load(path, target, most):
    """Makes a database with one table, named as the file, of a CSV or TSV file."""
    stem = re.sub(r"(\.csv|\.tsv|\.tab)(\.gz)?$", "", os.path.basename(path), flags=re.I)
    encoding = guess_encoding(path)
    try:
        with unpacked(path, encoding) as f, contextlib.closing(sqlite3.connect(target, isolation_level=None)) as db:
            delimiter = guess_delimiter(f, path)
            f.seek(0)
            lines = csv.reader(f, delimiter=delimiter)
            header = next(lines, None)
            if not header:
                raise Wrong(f"{os.path.basename(path)} is empty.")
            width = len(header)
            names = unique(header)
            kinds = [None] * width  # int, float, or str as soon as one value is neither
            comma = delimiter != ","
            db.executescript("PRAGMA journal_mode = off; PRAGMA synchronous = off;")
            # First as it stands, to see of what kind each column is.
            db.execute("CREATE TABLE raw (" + ", ".join(f"c{i}" for i in range(width)) + ")")
            db.execute("BEGIN")
            insert = "INSERT INTO raw VALUES (" + ", ".join("?" * width) + ")"
            size = 0
            while rows := list(itertools.islice(lines, 5000)):
                rows = [(r + [""] * (width - len(r)))[:width] for r in rows if r]
                for row in rows:
                    for i, value in enumerate(row):
                        size += len(value) + 1
                        if kinds[i] is not str and (k := kind(value, comma)) is not None:
                            kinds[i] = k if kinds[i] in (None, k) else str if str in (kinds[i], k) else float
                if size > most:
                    raise Wrong(f"{os.path.basename(path)} is too large unpacked.")
                db.executemany(insert, rows)
            db.execute("COMMIT")
            convert(db, stem, names, kinds, comma)
    except (csv.Error, UnicodeError, EOFError, gzip.BadGzipFile, sqlite3.Error) as error:
        raise Wrong(f"{os.path.basename(path)} cannot be read: {error}") from error


def convert(db, table, names, kinds, comma):
    """Makes of the raw text a table whose numbers are numbers and whose missing values are NULL."""
    words = ", ".join(f"'{m}'" for m in sorted(MISSING))
    columns = []
    for i, k in enumerate(kinds):
        number = f"trim(replace(c{i}, ',', '.'))" if comma else f"trim(c{i})"
        value = {int: f"CAST({number} AS INTEGER)", float: f"CAST({number} AS REAL)"}.get(k, f"c{i}")
        columns.append(f"CASE WHEN lower(trim(c{i})) IN ({words if k in (int, float) else repr('')}) THEN NULL ELSE {value} END AS {quote(names[i])}")
    db.execute(f"CREATE TABLE {quote(table)} AS SELECT {', '.join(columns)} FROM raw ORDER BY rowid" if table.lower() != "raw"
               else f"CREATE TABLE {quote('raw data')} AS SELECT {', '.join(columns)} FROM raw ORDER BY rowid")
    db.execute("DROP TABLE raw")


@contextlib.contextmanager
def unpacked(path, encoding):
    opener = gzip.open if path.lower().endswith(".gz") else open
    with opener(path, "rt", encoding=encoding, newline="") as f:
        yield f


def guess_encoding(path):
    """UTF-8 where it is that, else what Excel writes in western countries."""
    opener = gzip.open if path.lower().endswith(".gz") else open
    with opener(path, "rb") as f:
        try:
            beginning = f.read(1 << 20)
        except (OSError, EOFError) as error:
            raise Wrong(f"{os.path.basename(path)} cannot be read: {error}") from None
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in beginning:
        raise Wrong(f"{os.path.basename(path)} is no text.")
    try:
        beginning[: max(0, len(beginning) - 4) if len(beginning) == 1 << 20 else None].decode("utf-8")
        return "utf-8-sig"
    except UnicodeDecodeError:
        return "cp1252"


def guess_delimiter(f, path):
    """The sign that divides the first lines into the same number of fields, and into the most of them."""
    beginning = [line for line in itertools.islice(f, 50) if line.strip()]
    if not beginning:
        raise Wrong(f"{os.path.basename(path)} is empty.")
    best, most = ",", (0, 0)
    for sign in ",;\t|":
        counts = [len(row) for row in csv.reader(beginning, delimiter=sign) if row]
        same = sum(c == counts[0] for c in counts) / len(counts)
        if counts[0] > 1 and (score := (same > 0.9, counts[0])) > most:
            best, most = sign, score
    return best


def unique(names):
    """Column names that are neither empty nor there twice; SQLite does not tell capitals apart."""
    result, known = [], set()
    for i, name in enumerate(names, 1):
        name = base = name.strip() or f"column {i}"
        n = 1
        while name.lower() in known:
            n += 1
            name = f"{base} {n}"
        known.add(name.lower())
        result.append(name)
    return result


NUMBER = re.compile(r"[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d+)?")


def kind(value, comma):
    """int, float, str, or None for a missing value. A leading zero, as in 007, is a name and no number."""
    value = value.strip()
    if value.lower() in MISSING:
        return None
    if comma:
        value = value.replace(",", ".", 1)
    if not NUMBER.fullmatch(value) or re.match(r"[+-]?0\d", value):
        return str
    if re.fullmatch(r"[+-]?\d{1,18}", value):
        return int
    return float


# What a question may do: read tables, and use functions that only compute.
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
FORBIDDEN_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
ASKING = {"table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list", "table_list"}


def authorize(action, first, second, *_):
    if action in ALLOWED or action == sqlite3.SQLITE_FUNCTION and second not in FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in ASKING:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


class Source:
    """A database that is only read."""

    def __init__(self, path):
        self.path = path

    @contextlib.contextmanager
    def connect(self, seconds=10):
        """A connection that answers for so many seconds."""
        address = "file:" + "".join(c if c.isalnum() or c in "/._-" else "".join(f"%{b:02X}" for b in c.encode()) for c in self.path)
        try:
            db = open_database(address)
        except sqlite3.Error as error:
            raise Wrong(f"{os.path.basename(self.path)} cannot be read: {error}") from None
        until = time.monotonic() + seconds
        try:
            db.text_factory = lambda b: b.decode("utf-8", "replace")
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
            db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            db.execute("PRAGMA query_only = on")
            db.execute("PRAGMA trusted_schema = off")
            db.create_aggregate("sd", 1, Spread)
            db.set_authorizer(authorize)
            db.set_progress_handler(lambda: time.monotonic() > until, 10_000)
            yield db
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise Wrong(f"This takes longer than {seconds} seconds, and has been stopped.") from None
            raise Wrong(str(error)) from None
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            text = str(error)
            raise Wrong("Data can be read here, not changed." if "not authorized" in text or "readonly" in text else text) from None
        finally:
            db.close()

    def tables(self):
        """Names, kinds (table or view) and columns of the tables."""
        with self.connect() as db:
            names = db.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name").fetchall()
            result = []
            for name, type_ in names:
                try:
                    result.append((name, type_, [(r[1], r[2]) for r in db.execute(f"PRAGMA table_xinfo({quote(name)})") if r[6] != 1]))
                except sqlite3.OperationalError:
                    continue  # a view of what is not there, a table of an extension
            return result

    def columns(self, table):
        for name, _, columns in self.tables():
            if name == table:
                return [c for c, _ in columns]
        raise Wrong(f"There is no table {table!r}.")


def open_database(address):
    """Opens for reading; a database whose folder cannot be written to may need to be taken as one that does not change."""
    db = sqlite3.connect(address + "?mode=ro", uri=True, check_same_thread=False, timeout=5)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return db
    except sqlite3.DatabaseError as error:
        db.close()
        if "open" not in str(error) and "readonly" not in str(error):
            raise
    db = sqlite3.connect(address + "?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        db.close()
        raise
    return db


class Spread:
    """The standard deviation, as an aggregate function (Welford 1962, doi:10.1080/00401706.1962.10490022)."""

    def __init__(self):
        self.n, self.mean, self.square = 0, 0.0, 0.0

    def step(self, value):
        if isinstance(value, (int, float)):
            self.n += 1
            off = value - self.mean
            self.mean += off / self.n
            self.square += off * (value - self.mean)

    def finalize(self):
        return math.sqrt(self.square / (self.n - 1)) if self.n > 1 else None


FILTER = re.compile(r"\s*(<=|>=|!=|<>|=|<|>)?\s*(.*?)\s*", re.S)


def where(columns, filters):
    """The condition of filters, column → text, and its values. Without a sign before it a text is looked for anywhere."""
    parts, values = [], []
    for column, text in filters.items():
        if column not in columns or not text.strip():
            continue
        sign, word = FILTER.fullmatch(text).groups()
        c = quote(column)
        between = re.fullmatch(r"(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)", word)
        if word.lower() == "empty" and sign in (None, "=", "!=", "<>"):
            parts.append(f"({c} IS {'NOT ' if sign in ('!=', '<>') else ''}NULL)")
        elif sign is None and between:
            parts.append(f"({c} BETWEEN ? AND ?)")
            values += [number(w) for w in between.groups()]
        elif sign is None:
            parts.append(f"({c} LIKE ? ESCAPE '\\')")
            values.append("%" + re.sub(r"([\\%_])", r"\\\1", word) + "%")
        else:
            parts.append(f"({c} {sign} ?)")
            values.append(number(word))
    return (" WHERE " + " AND ".join(parts) if parts else ""), values


def number(word):
    try:
        return int(word)
    except ValueError:
        try:
            return float(word)
        except ValueError:
            return word
