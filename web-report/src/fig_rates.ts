/** Figure 1: how fast does it break? Metric and failure rate against the amount of faults. */
import type { Cell, Group, Report, Sweep } from "./data";
import type { Drawing } from "./card";
import { rove, s, tooltip } from "./dom";
import * as fmt from "./format";
import * as g from "./groups";
import * as mk from "./marks";
import { amountAxis, metricAxis, rateAxis, type Axis } from "./scales";
import { measureRule } from "./fig_verdict";

export const RATES_QUESTION = "How fast does it break?";
export const RATES_HOW =
  "This needs a sweep with two or more amounts, for example " +
  "\u201camount: {rate: [0.001, 0.01, 0.05]}\u201d in the campaign file.";

interface Point {
  x: number;
  value: number;
  low: number;
  high: number;
  n: number;
  none: boolean; // a rate of which no event was seen
  words: string;
  group: Group;
}
interface Series {
  arm: number;
  label: string;
  dash: string | null;
  shape: number; // of the marker: guards of one arm differ in it too
  points: Point[];
}
interface Panel {
  title: string;
  kind: Sweep["amount_kind"];
  y: Axis;
  frame: mk.Frame;
  series: Series[];
  tick(v: number): string;
  golden: { arm: number; value: number }[];
}

/** The sweeps that have more than one amount. */
export function rateSweeps(report: Report): number[] {
  const amounts = report.groups.filter((x) => x.scope === "amount");
  const sweeps = g.unique(amounts.map((x) => x.sweep));
  const several = (i: number): boolean => g.unique(amounts.filter((x) => x.sweep === i).map((x) => x.amount)).length > 1;
  return sweeps.filter(several);
}

function metricPoint(report: Report, group: Group): Point | null {
  const cell = report.cells[group.cell];
  if (!cell) return null;
  const ppl = report.meta.task.metric === "perplexity";
  const v = ppl ? cell.median : { value: cell.metric.mean, low: cell.metric.low, high: cell.metric.high };
  const show = (x: number): string => fmt.metric(report.meta, x);
  const words = group.n === 0 ? "not run" : `${ppl ? "median perplexity" : "mean accuracy"} ${show(v.value)} ${fmt.metricSpan(report.meta, cell.metricEqual, v.low, v.high)}`;
  return { x: group.amount, value: v.value, low: v.low, high: v.high, n: group.n, none: false, words, group };
}

function ratePoint(group: Group): Point {
  const r = group.rate[g.measure()];
  const words = `${fmt.MEASURE_NOUN[g.measure()]}: ${fmt.rateText(r, group.n)}`;
  return { x: group.amount, value: r.value, low: r.low, high: r.high, n: group.n, none: r.k === 0, words, group };
}

function seriesOf(report: Report, groups: Group[], make: (x: Group) => Point | null): Series[] {
  const guards = g.unique(groups.map((x) => x.guard));
  const out: Series[] = [];
  const arms = g.unique(groups.map((x) => x.arm));
  for (const arm of arms) {
    for (const guard of guards) {
      const own = groups.filter((x) => x.arm === arm && x.guard === guard).sort((a, b) => a.amount - b.amount);
      const points = own.map(make).filter((p) => p !== null);
      if (points.length === 0) continue;
      const name = g.armName(report, arm);
      const label = guards.length > 1 ? `${name}, ${guard === "none" ? "literal" : guard}` : name;
      const look = arms.indexOf(arm) + arms.length * guards.indexOf(guard);
      out.push({ arm, label, dash: mk.dash(look), shape: look, points });
    }
  }
  return out;
}

function band(series: Series, x: Axis, y: Axis): SVGElement | null {
  const p = series.points.filter((q) => q.n > 0 && Number.isFinite(q.low) && !Number.isNaN(q.high));
  if (p.length < 2) return null;
  const up = p.map((q) => `${x.at(q.x).toFixed(1)},${y.at(q.high).toFixed(1)}`);
  const down = p.map((q) => `${x.at(q.x).toFixed(1)},${y.at(q.low).toFixed(1)}`).reverse();
  return s("polygon", { points: [...up, ...down].join(" "), class: "band" });
}

/** One panel; returns its marks in reading order. */
function drawPanel(svg: SVGSVGElement, p: Panel, x: Axis, marks: SVGGElement[], points: Point[]): void {
  const { frame, y } = p;
  svg.append(mk.text(frame.left - 44, frame.top - 17, p.title, "panel-title"));
  mk.yAxis(svg, frame, y, p.tick);
  for (const gold of p.golden) {
    const at = y.at(gold.value);
    svg.append(s("g", { class: gold.arm < 0 ? "golden" : `golden ${mk.armClass(gold.arm)}` }, mk.line(frame.left, at, frame.right, at, "golden-line")));
  }
  if (p.golden[0]) svg.append(mk.text(frame.right, y.at(Math.max(...p.golden.map((v) => v.value))) - 5, "fault-free", "note", "end"));
  for (const series of p.series) {
    const group = s("g", { class: mk.armClass(series.arm) });
    const seen = series.points.filter((q) => q.n > 0 && !Number.isNaN(q.value));
    const path = seen.map((q, i) => `${i ? "L" : "M"}${x.at(q.x).toFixed(1)},${y.at(q.value).toFixed(1)}`).join("");
    const area = band(series, x, y);
    if (area) group.append(area);
    group.append(s("path", { d: path, class: "series", "stroke-dasharray": series.dash }));
    svg.append(group);
  }
  p.series.forEach((series, i) => {
    const shift = (i - (p.series.length - 1) / 2) * 3;
    for (const q of series.points) {
      const mark = drawPoint(q, series, x.at(q.x) + shift, p);
      svg.append(mark);
      marks.push(mark);
      points.push(q);
    }
  });
}

function drawPoint(q: Point, series: Series, px: number, p: Panel): SVGGElement {
  const mark = s("g", { class: `${mk.armClass(series.arm)} point`, role: "button" });
  const ran = q.n > 0 && !Number.isNaN(q.value);
  if (!ran) {
    mark.append(s("rect", { x: px - 5, y: p.frame.bottom - 10, width: 10, height: 10, class: "notrun", fill: "url(#hatch-rates)" }));
  } else {
    const py = Number.isFinite(q.value) ? p.y.at(q.value) : p.frame.top;
    if (!Number.isNaN(q.low) && !Number.isNaN(q.high)) mark.append(mk.line(px, p.y.at(q.low), px, p.y.at(q.high), "whisker"));
    mark.append(mk.marker(series.shape, px, py, q.none));
    if (!Number.isFinite(q.value)) mark.append(mk.text(px + 8, py + 4, "\u221e", "note"));
  }
  const label = `${series.label}, ${fmt.amount(p.kind, q.x)}: ${q.words}`;
  mark.setAttribute("aria-label", label);
  tooltip(mark, label);
  return mark;
}

const TOLD = 4; // arms that the sentence has room for

function answer(report: Report, groups: Group[]): string {
  const m = g.measure();
  const arms = g.unique(groups.map((x) => x.arm));
  const guard = groups[0]!.guard;
  const kind = report.meta.sweeps[groups[0]!.sweep]!.amount_kind;
  const told = arms.slice(0, TOLD);
  const parts = told.map((arm) => {
    const own = groups.filter((x) => x.arm === arm && x.guard === guard && x.n > 0 && x.amount > 0);
    own.sort((a, b) => a.amount - b.amount);
    const first = own.find((x) => x.rate[m].low > 0.5);
    const name = g.armName(report, arm);
    const last = own[own.length - 1];
    if (!last) return `${name} has no trial yet`;
    if (first) return `${name} fails in more than half of the trials from ${fmt.amountShort(kind, first.amount)} on (${fmt.percent(first.rate[m].value)})`;
    const r = last.rate[m];
    return r.k === 0
      ? `${name}: none seen in ${fmt.count(r.n)} trials at ${fmt.amountShort(kind, last.amount)}, ${fmt.atMost(r)}`
      : `${name} reaches ${fmt.percent(r.value)} at ${fmt.amountShort(kind, last.amount)}`;
  });
  const guards = g.unique(groups.map((x) => x.guard)).length > 1 ? ` (reading ${fmt.conventionOf(guard)})` : "";
  const text = parts.join("; ");
  const left = arms.length - told.length;
  const rest = left > 0 ? ` These are the first ${TOLD} of ${arms.length} arms; the figure and the table have all.` : "";
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${guards}.${rest}${g.unfinished(groups)}`;
}

function goldenLines(report: Report, cells: Cell[]): { arm: number; value: number }[] {
  const lines = cells.map((c) => ({ arm: c.arm, value: report.meta.variants[c.variant]?.golden?.metric ?? NaN })).filter((v) => Number.isFinite(v.value));
  const values = g.unique(lines.map((v) => v.value));
  if (values.length === 1) return [{ arm: -1, value: values[0]! }];
  return values.map((value) => lines.find((v) => v.value === value)!);
}

function table(report: Report, groups: Group[]): Drawing["table"] {
  const { meta } = report;
  const kind = meta.sweeps[groups[0]!.sweep]!.amount_kind;
  const ppl = meta.task.metric === "perplexity";
  const head = ["arm", "read guard", AMOUNT_HEAD[kind], ...g.RATE_HEAD, ppl ? "median perplexity" : "mean accuracy", "metric low", "metric high", "fault-free"];
  const rows = groups.map((x) => {
    const c = report.cells[x.cell];
    const v = c && (ppl ? c.median : { value: c.metric.mean, low: c.metric.low, high: c.metric.high });
    const show = (n: number | undefined): string => (n === undefined || x.n === 0 ? "" : fmt.metric(meta, n));
    const gold = c ? meta.variants[c.variant]?.golden?.metric : undefined;
    return [g.armName(report, x.arm), x.guard, fmt.amountShort(kind, x.amount), ...g.rateFields(x, g.measure()),
      show(v?.value), ...(c && c.metricEqual > 0 && x.n > 0 ? [`all ${fmt.count(c.metricEqual)} equal`, ""] : [show(v?.low), show(v?.high)]), gold === undefined || gold === null ? "" : fmt.metric(meta, gold)];
  });
  return { head, rows };
}
const AMOUNT_HEAD = { count: "faults", rate: "share of values", ber: "bit error rate" };

export function drawRates(report: Report, width: number, open: (x: Group) => void): Drawing {
  const { meta } = report;
  const sweeps = rateSweeps(report);
  const all = report.groups.filter((x) => x.scope === "amount" && sweeps.includes(x.sweep));
  const sweep = g.narrow(all, "r.sweep", "Sweep", (x) => meta.sweeps[x.sweep]!.name);
  const fault = g.narrow(sweep.groups, "r.kind", "Kind", g.byKind);
  const bits = g.narrow(fault.groups, "r.bits", "Bits", g.byBits, g.bitsLabel);
  const groups = bits.groups;
  const rates = seriesOf(report, groups, ratePoint);
  const metrics = seriesOf(report, groups, (x) => metricPoint(report, x));
  const svg = s("svg", { role: "group", "aria-label": `${RATES_QUESTION} Lines by arm; arrow keys move between points.` });
  svg.append(mk.hatch("hatch-rates"));
  const top = mk.legend(svg, rates, 4, width - 8) + 36;
  const wide = width >= 700 && metrics.length > 0;
  const tall = width < 420 ? 210 : 250;
  const half = wide ? (width - 30) / 2 : width;
  const frames: mk.Frame[] = [{ left: 52, right: half - 16, top, bottom: top + tall }];
  frames.push(wide ? { left: half + 30 + 52, right: width - 16, top, bottom: top + tall }
    : { left: 52, right: width - 16, top: top + tall + 76, bottom: top + 2 * tall + 76 });
  const flat = (list: Series[]): Point[] => list.flatMap((x) => x.points).filter((q) => q.n > 0);
  const kind = meta.sweeps[groups[0]!.sweep]!.amount_kind;
  const marks: SVGGElement[] = [];
  const points: Point[] = [];
  const panels: Panel[] = [];
  if (metrics.length > 0) {
    const ppl = meta.task.metric === "perplexity";
    const golden = goldenLines(report, report.cells.filter((c) => groups.some((x) => x.cell === c.index)));
    const values = [...flat(metrics).flatMap((q) => [q.value, q.low, q.high]), ...golden.map((v) => v.value)];
    const frame = frames.shift()!;
    const y = metricAxis(values, ppl, frame.bottom, frame.top);
    panels.push({ kind, title: ppl ? "Median perplexity (lower is better)" : "Mean accuracy (higher is better)", y, frame, series: metrics, golden, tick: (v) => fmt.metric(meta, v) });
  }
  const frame = frames.shift()!;
  const seen = flat(rates);
  const y = rateAxis(seen.map((q) => q.value), seen.map((q) => q.high), frame.bottom, frame.top);
  panels.push({ kind, title: `Share of ${fmt.MEASURE_SHORT[g.measure()]} trials`, y, frame, series: rates, golden: [], tick: (v) => fmt.percent(v) });
  for (const p of panels) {
    const x = amountAxis(g.unique(groups.map((v) => v.amount)).sort((a, b) => a - b), p.frame.left + 14, p.frame.right - 14);
    mk.xAxis(svg, p.frame, x, (v) => fmt.amountShort(kind, v), fmt.AMOUNT_AXIS[kind]);
    drawPanel(svg, p, x, marks, points);
  }
  rove(marks, 1, (i) => open(points[i]!.group));
  const height = panels[panels.length - 1]!.frame.bottom + 42;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", String(width));
  const arms = g.unique(groups.map((x) => x.arm)).length;
  const metricKind = metrics.length === 0 ? "" : meta.task.metric === "perplexity"
    ? ` Perplexity: median over trials with its ${meta.confidence} % order-statistic interval (a mean may be infinite).`
    : ` Accuracy: mean over trials with its ${meta.confidence} % bootstrap interval over trials.`;
  return {
    answer: answer(report, groups),
    controls: [sweep.control, fault.control, bits.control],
    plot: svg,
    caption: `An arm is a colour; an arm with a read guard has a marker and a dash of its own. ${arms > mk.ARM_LOOKS ? "From the seventh arm on colours come again, with another marker and dash. " : ""}Bands and whiskers: ${g.intervalKind(report, groups)}. Hollow mark: none seen. ` +
      `Hatched square: not run. ${measureRule(report)}${metricKind}`,
    table: table(report, groups),
  };
}
