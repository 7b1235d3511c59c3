"""What a column holds: how many values, which are most frequent, and how numbers are spread."""
import math

from tables import quote

BINS = 24


def summarize(db, table, column, condition, values):
    """Facts of a column as (name, value), its bars as (label, count), and whether the bars are ranges of numbers."""
    c, t = quote(column), quote(table)
    rows, present, distinct, numbers = db.execute(
        f"SELECT count(*), count({c}), count(DISTINCT {c}), coalesce(sum(typeof({c}) IN ('integer', 'real')), 0) FROM {t}{condition}", values).fetchone()
    facts = [("Rows", rows), ("Missing", rows - present), ("Different values", distinct)]
    numeric = present > 0 and numbers == present
    if numeric:
        low, high, mean, sd = db.execute(f"SELECT min({c}), max({c}), avg({c}), sd({c}) FROM {t}{condition}", values).fetchone()
        also = f"{condition} {'AND' if condition else ' WHERE'} {c} IS NOT NULL"
        half = [r[0] for r in db.execute(f"SELECT {c} FROM {t}{also} ORDER BY {c} LIMIT {2 - present % 2} OFFSET {(present - 1) // 2}", values)]
        facts += [("Smallest", low), ("Median", sum(half) / len(half)), ("Mean", mean), ("Largest", high), ("Standard deviation", "–" if sd is None else sd)]
        if distinct > 12:
            return facts, histogram(db, c, t, also, values, low, high, distinct), True
    bars = db.execute(f"SELECT {c}, count(*) FROM {t}{condition} GROUP BY {c} ORDER BY {'1' if numeric else '2 DESC, 1'} LIMIT 20", values).fetchall()
    return facts, [("(missing)" if label is None else label, n) for label, n in bars], False


def histogram(db, c, t, condition, values, low, high, distinct):
    """Counts of equal ranges between round numbers."""
    whole = isinstance(low, int) and isinstance(high, int)
    width = (high - low) / BINS
    if not math.isfinite(width) or width <= 0:
        return []
    power = 10.0 ** math.floor(math.log10(width))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= width)
    if whole:
        step = max(1, math.ceil(step))
    first = math.floor(low / step)
    counts = dict(db.execute(
        # The cast rounds towards zero, so it is done from the first range's beginning.
        f"SELECT CAST(({c} - ?) / ? AS INTEGER), count(*) FROM {t}{condition} GROUP BY 1", [first * step, float(step), *values]).fetchall())
    digits = max(0, -math.floor(math.log10(step)) + 1) if step < 1 else 0
    return [(f"{(first + i) * step:.{digits}f}", counts.get(i, 0)) for i in range(max(counts) + 1)]
