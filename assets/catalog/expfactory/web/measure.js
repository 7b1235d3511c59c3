// Numbers the experiments' summaries are made of. Rows are those of the data; numbers may come as text from a table.
export const numbers = (list) => list.filter((x) => x !== "" && x !== null && x !== undefined).map(Number).filter(Number.isFinite);
export const mean = (list) => (list.length ? list.reduce((a, b) => a + b, 0) / list.length : null);

export function sd(list) {
  if (list.length < 2) return null;
  const m = mean(list);
  return Math.sqrt(list.reduce((a, b) => a + (b - m) ** 2, 0) / (list.length - 1));
}

export const right = (rows) => rows.filter((r) => Number(r.correct) === 1 && r.correct !== "");
export const times = (rows) => numbers(right(rows).map((r) => r.rt_ms));
export const rate = (rows) => (rows.length ? right(rows).length / rows.length : null);
export const where = (rows, condition) => rows.filter((r) => r.condition === condition);
export const difference = (a, b) => (a === null || b === null ? null : a - b);

// The point below which a share p of the normal distribution lies (P. J. Acklam's approximation, error below 1.2e-9).
export function z(p) {
  const a = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
  const c = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
  const tail = (q) => (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) / ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  if (p < 0.02425) return tail(Math.sqrt(-2 * Math.log(p)));
  if (p > 1 - 0.02425) return -tail(Math.sqrt(-2 * Math.log(1 - p)));
  const q = p - 0.5, r = q * q;
  return ((((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q) / (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

// Sensitivity d', with the log-linear correction (Hautus 1995), which keeps it finite.
export function dPrime(hits, targets, alarms, others) {
  if (!targets || !others) return null;
  return z((hits + 0.5) / (targets + 1)) - z((alarms + 0.5) / (others + 1));
}

// Measures and plot of a task with two conditions and an effect between them.
export function effect(rows, t, from, to, label) {
  const a = times(where(rows, from)), b = times(where(rows, to));
  return {
    measures: [
      { key: "accuracy", label: t.accuracy, value: rate(rows), unit: "%", digits: 0 },
      { key: `rt_${from}`, label: `${t.meanRT}, ${t[from] ?? from}`, value: mean(a), unit: "ms", digits: 0 },
      { key: `rt_${to}`, label: `${t.meanRT}, ${t[to] ?? to}`, value: mean(b), unit: "ms", digits: 0 },
      { key: "effect", label, value: difference(mean(b), mean(a)), unit: "ms", digits: 0 },
    ],
    plot: { kind: "groups", unit: "ms", groups: [{ label: t[from] ?? from, values: a }, { label: t[to] ?? to, values: b }] },
  };
}
