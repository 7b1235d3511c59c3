// Summaries as HTML and their plots as SVG, without a library.
import { mean, sd } from "./measure.js";

const clean = (s) => String(s).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

export function format(m) {
  if (m.value === null || m.value === undefined || Number.isNaN(m.value)) return "–";
  const value = m.unit === "%" ? m.value * 100 : m.value;
  return `${value.toFixed(m.digits ?? 0).replace("-", "−")}${m.unit ? `\u202f${m.unit}` : ""}`;
}

export function showSummary(summary, t) {
  const rows = summary.measures.map((m) => `<div class="measure" data-measure="${clean(m.key)}"><dt>${clean(m.label)}</dt><dd>${format(m)}</dd></div>`).join("");
  return `<h2>${t.ownResult}</h2><dl class="measures">${rows}</dl>${draw(summary.plot)}`;
}

// Round numbers that divide a range.
function ticks(from, to, wanted = 5) {
  const raw = (to - from || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw);
  const all = [];
  for (let v = Math.ceil(from / step) * step; v <= to + step / 1e6; v += step) all.push(Math.round(v / step) * step);
  return all;
}

const width = 560, height = 300, left = 56, right = 16, top = 22, bottom = 40;
const tidy = (v) => String(Math.round(v * 1000) / 1000).replace("-", "−");

// plot is {kind: "groups", unit, groups: [{label, values}]}: a dot for each value, with mean and 95 % interval,
// or {kind: "lines", x, y, series: [{label, points: [[x, y], …]}], zero}.
export function draw(plot) {
  if (!plot) return "";
  const values = plot.kind === "groups" ? plot.groups.flatMap((g) => g.values) : plot.series.flatMap((s) => s.points.map((p) => p[1]));
  if (!values.length) return "";
  let low = Math.min(...values, ...(plot.zero ? [0] : [])), high = Math.max(...values, ...(plot.zero ? [0] : []));
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  low = plot.zero && low === 0 ? 0 : low - room;
  high += room;
  const y = (v) => height - bottom - ((v - low) / (high - low)) * (height - top - bottom);
  const parts = ticks(low, high).map((v) => `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(v)}" y2="${y(v)}"/><text x="${left - 8}" y="${y(v) + 4}" text-anchor="end">${tidy(v)}</text>`);
  if (plot.kind === "groups") groups(plot, y, parts);
  else lines(plot, y, parts);
  const label = plot.unit ?? plot.y ?? "";
  parts.push(`<text class="axis" x="${left - 8}" y="${top - 4}" text-anchor="start" dx="-40">${clean(label)}</text>`);
  return `<svg class="plot" viewBox="0 0 ${width} ${height}" role="img" xmlns="http://www.w3.org/2000/svg">${parts.join("")}</svg>`;
}

function groups(plot, y, parts) {
  const step = (width - left - right) / plot.groups.length;
  plot.groups.forEach((g, i) => {
    const x = left + step * (i + 0.5);
    g.values.forEach((v, n) => {
      // Spread by the golden ratio: even, and the same each time.
      const aside = (((n + 1) * 0.618034) % 1 - 0.5) * Math.min(70, step * 0.4);
      parts.push(`<circle class="dot c${i % 6}" cx="${(x + aside).toFixed(1)}" cy="${y(v).toFixed(1)}" r="3.5"/>`);
    });
    const m = mean(g.values), s = sd(g.values);
    if (m !== null) {
      if (s !== null) {
        const half = (1.96 * s) / Math.sqrt(g.values.length);
        parts.push(`<line class="interval" x1="${x}" x2="${x}" y1="${y(m - half)}" y2="${y(m + half)}"/>`);
      }
      parts.push(`<line class="mean" x1="${x - 26}" x2="${x + 26}" y1="${y(m)}" y2="${y(m)}"/>`);
    }
    parts.push(`<text x="${x}" y="${height - 14}" text-anchor="middle">${clean(g.label)} (${g.values.length})</text>`);
  });
}

function lines(plot, y, parts) {
  const xs = plot.series.flatMap((s) => s.points.map((p) => p[0]));
  const low = Math.min(...xs), high = Math.max(...xs);
  const x = (v) => left + 10 + ((v - low) / (high - low || 1)) * (width - left - right - 20);
  const marks = xs.length <= 8 * plot.series.length ? [...new Set(xs)] : ticks(low, high, 8);
  marks.forEach((v) => parts.push(`<text x="${x(v)}" y="${height - bottom + 16}" text-anchor="middle">${tidy(v)}</text>`));
  plot.series.forEach((s, i) => {
    const points = s.points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ");
    parts.push(`<polyline class="line c${i % 6}" points="${points}"/>`);
    s.points.forEach((p) => parts.push(`<circle class="dot solid c${i % 6}" cx="${x(p[0]).toFixed(1)}" cy="${y(p[1]).toFixed(1)}" r="3.5"/>`));
    if (plot.series.length > 1) parts.push(`<text class="c${i % 6} name" x="${width - right - 110 * (plot.series.length - 1 - i)}" y="${top - 4}" text-anchor="end">${clean(s.label)}</text>`);
  });
  parts.push(`<text x="${(left + width - right) / 2}" y="${height - 4}" text-anchor="middle">${clean(plot.x ?? "")}</text>`);
}
