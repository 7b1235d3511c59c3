#!/usr/bin/python3
"""Makes the example: an invented experiment in which people tell left from right, as two tables of CSV and as a database."""
import csv
import os
import random
import sqlite3
import sys

folder = sys.argv[1]
r = random.Random(1935)
people = [(f"P{i:03}", r.randint(18, 67), r.choice(["female", "male", "diverse"] if i % 9 == 0 else ["female", "male"]), r.choice(["right"] * 8 + ["left"])) for i in range(1, 41)]
trials = []
for who, age, *_ in people:
    own = r.gauss(430 + 2.2 * (age - 18), 35)
    for trial in range(1, 61):
        condition = r.choice(["congruent", "incongruent"])
        correct = int(r.random() > (0.03 if condition == "congruent" else 0.09))
        late = r.random() < 0.015
        rt = None if late else round(own + (38 if condition == "incongruent" else 0) + r.expovariate(1 / 90) + r.gauss(0, 25), 1)
        trials.append((who, trial, condition, None if late else correct, rt))
heads = {"participants": ["participant", "age", "gender", "hand"], "trials": ["participant", "trial", "condition", "correct", "rt_ms"]}
for name, rows in (("participants", people), ("trials", trials)):
    with open(os.path.join(folder, name + ".csv"), "w", encoding="utf-8", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(heads[name])
        out.writerows(rows)
db = sqlite3.connect(os.path.join(folder, "experiment.sqlite"))
db.executescript("""
    CREATE TABLE participants (participant TEXT PRIMARY KEY, age INTEGER, gender TEXT, hand TEXT);
    CREATE TABLE trials (participant TEXT REFERENCES participants, trial INTEGER, condition TEXT, correct INTEGER, rt_ms REAL);
    CREATE VIEW means AS SELECT participant, age, condition, round(avg(rt_ms), 1) AS mean_rt_ms, count(*) AS trials
        FROM trials JOIN participants USING (participant) WHERE correct = 1 GROUP BY participant, condition;
""")
db.executemany("INSERT INTO participants VALUES (?, ?, ?, ?)", people)
db.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?)", trials)
db.commit()
db.close()
