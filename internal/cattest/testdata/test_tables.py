"""Tests of the data browser's tables, which need nothing but Python."""
import gzip
import os
import sqlite3
import tempfile
import unittest

import summary
import tables


class Tables(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.top = os.path.join(self.folder.name, "data")
        private = os.path.join(self.folder.name, "private")
        os.mkdir(self.top)
        os.mkdir(private)
        self.private = private
        self.library = tables.Library(self.top, private, keep=2)

    def tearDown(self):
        self.folder.cleanup()

    def put(self, name, content):
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def rows(self, name, question):
        with self.library.source(name).connect() as db:
            return db.execute(question).fetchall()

    def test_kinds(self):
        self.put("a.csv", 'id,n,x,text,mixed\n007,1,1.5,"a, b",1\n008,-2,NA,,x\n009,,2e3,"with ""quotes""\nand a line",3\n')
        self.assertEqual(self.rows("a.csv", "SELECT * FROM a"), [
            ("007", 1, 1.5, "a, b", "1"), ("008", -2, None, None, "x"), ("009", None, 2000.0, 'with "quotes"\nand a line', "3")])

    def test_forms(self):
        same = [("ä", 1.5), ("ß", 2.0)]
        for name, content in {
            "comma.csv": "name,x\nä,1.5\nß,2.0\n", "semicolon.csv": "name;x\nä;1,5\nß;2,0\n", "tab.tsv": "name\tx\nä\t1.5\nß\t2.0", "mark.csv": "\ufeffname,x\r\nä,1.5\r\nß,2.0\r\n",
            "excel.csv": "name;x\nä;1,5\nß;2,0\n".encode("cp1252"), "wide.csv": "name,x\nä,1.5\nß,2.0\n".encode("utf-16"), "gz.csv.gz": gzip.compress("name,x\nä,1.5\nß,2.0\n".encode()),
        }.items():
            with self.subTest(name):
                self.put(name, content)
                self.assertEqual(self.rows(name, f"SELECT name, x FROM {name.partition('.')[0]}"), same)

    def test_odd(self):
        self.put("a b\"c.csv", "x,X,,x\n1,2,3\n4,5,6,7,8\n\n9\n")
        source = self.library.source("a b\"c.csv")
        self.assertEqual(source.columns('a b"c'), ["x", "X 2", "column 3", "x 3"])
        self.assertEqual(self.rows("a b\"c.csv", 'SELECT * FROM "a b""c"'), [(1, 2, 3, None), (4, 5, 6, 7), (9, None, None, None)])
        self.put("one.csv", "x\n1\n2\n")
        self.assertEqual(self.rows("one.csv", "SELECT sum(x) FROM one"), [(3,)])
        self.put("raw.csv", "x\n1\n")
        self.assertEqual(self.library.source("raw.csv").columns("raw data"), ["x"])
        for name, content in {"empty.csv": "", "binary.csv": b"a,b\n\0\1\2", "broken.csv.gz": b"\x1f\x8b nothing", "broken.sqlite": b"nothing"}.items():
            with self.subTest(name):
                self.put(name, content)
                with self.assertRaises(tables.Wrong):
                    self.library.source(name).tables()

    def test_changes(self):
        path = self.put("a.csv", "x\n1\n")
        self.assertEqual(self.rows("a.csv", "SELECT x FROM a"), [(1,)])
        self.put("a.csv", "x\n22\n")
        self.assertEqual(self.rows("a.csv", "SELECT x FROM a"), [(22,)])
        for name in "bcd":
            self.put(name + ".csv", "x\n1\n")
            self.rows(name + ".csv", f"SELECT x FROM {name}")
        self.assertEqual(len(os.listdir(self.private)), 2)
        os.remove(path)
        with self.assertRaises(tables.Wrong):
            self.library.source("a.csv")

    def test_too_large(self):
        self.put("a.csv", "x\n" + "1\n" * 700_000)
        small = tables.Library(self.top, self.private, most_megabytes=1)
        with self.assertRaisesRegex(tables.Wrong, "at most 1 MB"):
            small.source("a.csv")
        self.put("b.csv.gz", gzip.compress(b"x\n" + (b"1" * 100 + b"\n") * 100_000))
        with self.assertRaisesRegex(tables.Wrong, "too large"):
            small.source("b.csv.gz")
        self.assertEqual(os.listdir(self.private), [])

    def test_outside(self):
        secret = os.path.join(self.folder.name, "secret.csv")
        with open(secret, "w", encoding="utf-8") as f:
            f.write("x\n1\n")
        os.symlink(secret, os.path.join(self.top, "link.csv"))
        os.symlink(self.folder.name, os.path.join(self.top, "up"))
        self.put(".hidden.csv", "x\n1\n")
        self.put("notes.txt", "x\n1\n")
        self.put("below/a.csv", "x\n1\n")
        os.symlink("below/a.csv", os.path.join(self.top, "near.csv"))
        self.assertEqual([f[0] for f in tables.files(self.top)], ["near.csv", "below/a.csv"])
        for name in ("../secret.csv", secret, "link.csv", "up/secret.csv", ".hidden.csv", "notes.txt", "below/../../secret.csv", "below", "", ".", "a\0.csv"):
            with self.subTest(name), self.assertRaises(tables.Wrong):
                self.library.source(name)

    def database(self):
        path = os.path.join(self.top, "d#?%41.sqlite")
        db = sqlite3.connect(path)
        db.executescript("CREATE TABLE t (x INTEGER, name TEXT); INSERT INTO t VALUES (1, 'a%b'), (2, 'a_c'), (10, 'B'), (NULL, NULL); CREATE VIEW v AS SELECT x FROM t; CREATE VIEW broken AS SELECT y FROM t;")
        db.close()
        return os.path.basename(path)

    def test_read_only(self):
        name = self.database()
        path = os.path.join(self.top, name)
        with open(path, "rb") as f:
            before = f.read()
        for question in ("DELETE FROM t", "DROP TABLE t", "INSERT INTO t VALUES (1, 2)", "CREATE TABLE u (x)", f"ATTACH '{self.private}/new.db' AS n", "PRAGMA query_only = off", "PRAGMA writable_schema = on",
                         "VACUUM INTO '/tmp/copy'", "SELECT load_extension('x')", "SELECT 1; DELETE FROM t", "SELECT randomblob(1000000000)", "SELECT hex(zeroblob(999999999))", "BEGIN IMMEDIATE", "\0", "SELECT \ud800"):
            with self.subTest(question), self.assertRaises(tables.Wrong):
                self.rows(name, question)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), before)
        self.assertEqual(os.listdir(self.top), [name])
        self.assertEqual([t[0] for t in self.library.source(name).tables()], ["t", "v"])

    def test_without_end(self):
        with self.assertRaisesRegex(tables.Wrong, "longer than"):
            with self.library.source(self.database()).connect(0.2) as db:
                db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n").fetchone()

    def test_where(self):
        name = self.database()
        for filters, want in (
            ({}, 4), ({"x": ">1"}, 2), ({"x": " <= 2 "}, 2), ({"x": "1 .. 2"}, 2), ({"x": "empty"}, 1), ({"x": "!= empty"}, 3), ({"x": "!=1"}, 2), ({"x": "1"}, 2), ({"x": "=1"}, 1),
            ({"name": "%"}, 1), ({"name": "_"}, 1), ({"name": "b"}, 2), ({"name": "= B"}, 1), ({"name": "' OR 1 --"}, 0), ({"x": ">1", "name": "a"}, 1), ({"x\" OR 1 --": "1"}, 4),
        ):
            with self.subTest(filters):
                condition, values = tables.where(["x", "name"], filters)
                with self.library.source(name).connect() as db:
                    self.assertEqual(db.execute("SELECT count(*) FROM t" + condition, values).fetchone()[0], want)

    def test_summary(self):
        self.put("a.csv", "n,few,word\n" + "".join(f"{i},{i % 3},{'ab'[i % 2]}\n" for i in range(-50, 51)) + ",,\n")
        with self.library.source("a.csv").connect() as db:
            facts, bars, ranges = summary.summarize(db, "a", "n", "", [])
            facts = dict(facts)
            self.assertEqual((facts["Rows"], facts["Missing"], facts["Smallest"], facts["Median"], facts["Mean"], facts["Largest"]), (102, 1, -50, 0, 0, 50))
            self.assertAlmostEqual(facts["Standard deviation"], 29.300170648)
            self.assertTrue(ranges)
            self.assertEqual((sum(n for _, n in bars), bars[0][0], len({n for _, n in bars[:-1]})), (101, "-50", 1))
            _, bars, ranges = summary.summarize(db, "a", "few", "", [])
            self.assertEqual((bars, ranges), ([("(missing)", 1), (0, 33), (1, 34), (2, 34)], False))
            facts, bars, _ = summary.summarize(db, "a", "word", ' WHERE ("n" > ?)', [0])
            self.assertEqual((dict(facts)["Rows"], bars), (50, [("a", 25), ("b", 25)]))
            _, bars, _ = summary.summarize(db, "a", "n", ' WHERE ("n" > ?)', [1000])
            self.assertEqual(bars, [])


unittest.main()
