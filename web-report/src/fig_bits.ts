/** Figure 4: which bits matter? A dot and its interval for each bit or class of bits. */
import type { Group, Report } from "./data";
import type { Drawing } from "./card";
import { measureRule } from "./fig_verdict";
import * as fmt from "./format";
import * as g from "./groups";
import * as mk from "./marks";
import { rove, s, tooltip } from "./dom";
import { rateAxis } from "./scales";

export const BITS_QUESTION = "Which bits matter?";
export const BITS_HOW =
  "This needs a sweep with two or more choices of bits, for example \u201cbits: [sign, exponent, mantissa]\u201d in the campaign file.";

export function bitSweeps(report: Report): number[] {
  const named = report.groups.filter((x) => x.scope === "amount" && x.bits !== "");
  return g.unique(named.map((x) => x.sweep)).filter((i) => g.unique(named.filter((x) => x.sweep === i).map((x) => x.bits)).length > 1);
}

const single = (bits: string): boolean => /^\d+$/.test(bits);

interface Plot {
  svg: SVGSVGElement;
  marks: SVGGElement[];
  groups: Group[];
  height: number;
}

function dot(report: Report, x: Group, at: { from: [number, number]; to: [number, number]; mid: [number, number] }): SVGGElement {
  const r = x.rate[g.measure()];
  const masked = fmt.maskedText(x);
  const words = `${g.armName(report, x.arm)}, ${g.bitsLabel(x.bits)}: ${fmt.rateText(r, x.n)}${masked && `; ${masked}`}`;
  const node = s("g", { class: `${mk.armClass(x.arm)} point`, role: "button", "aria-label": words });
  if (fmt.certain(x)) node.append(s("rect", { x: at.from[0] - 5, y: at.from[1] - 5, width: 10, height: 10, class: "certain-mark", fill: "url(#dots-bits)" }));
  else if (x.n === 0) node.append(s("rect", { x: at.from[0] - 4, y: at.from[1] - 4, width: 8, height: 8, class: "notrun", fill: "url(#hatch-bits)" }));
  else node.append(mk.line(...at.from, ...at.to, "whisker"), mk.marker(x.arm, ...at.mid, r.k === 0, 4));
  tooltip(node, words);
  return node;
}

/** Bits 31 to 0 from left to right, with the fields of the format behind them. */
function columns(report: Report, groups: Group[], width: number, plot: Plot, top: number): void {
  const m = g.measure();
  const bits = g.unique(groups.map((x) => Number(x.bits))).sort((a, b) => b - a);
  const arms = g.unique(groups.map((x) => x.arm));
  const frame = { left: 52, right: width - 10, top: top + 18, bottom: top + 258 };
  const run = groups.filter((x) => x.n > 0);
  const y = rateAxis(run.map((x) => x.rate[m].value), run.map((x) => x.rate[m].high), frame.bottom, frame.top);
  const step = (frame.right - frame.left) / bits.length;
  const x = (bit: number): number => frame.left + (bits.indexOf(bit) + 0.5) * step;
  const field = (b: number): string => (b === 31 ? "sign" : b >= 23 ? "exponent" : "mantissa");
  for (const name of ["sign", "exponent", "mantissa"]) {
    const own = bits.filter((b) => field(b) === name);
    if (own.length === 0) continue;
    const [from, to] = [x(own[0]!) - step / 2, x(own[own.length - 1]!) + step / 2];
    plot.svg.append(s("rect", { x: from, y: frame.top, width: to - from, height: frame.bottom - frame.top, class: name === "exponent" ? "field strong" : "field" }));
    const label = to - from > mk.textWidth(name) ? name : name.charAt(0).toUpperCase();
    plot.svg.append(mk.text((from + to) / 2, frame.top - 5, label, "tick", "middle"));
  }
  mk.yAxis(plot.svg, frame, y, (v) => fmt.percent(v));
  const axis = { at: x, ticks: bits, log: false };
  mk.xAxis(plot.svg, frame, axis, String, "bit of the stored word, most significant first");
  for (const bit of bits) {
    for (const arm of arms) {
      const q = groups.find((v) => v.arm === arm && Number(v.bits) === bit);
      if (!q) continue;
      const px = x(bit) + ((arms.indexOf(arm) + 0.5) / arms.length - 0.5) * Math.min(step * 0.8, 26);
      const r = q.rate[m];
      const low = q.n === 0 ? frame.bottom - 6 : y.at(r.k === 0 ? 0 : r.low);
      const node = dot(report, q, { from: [px, low], to: [px, y.at(r.high)], mid: [px, y.at(r.k === 0 ? 0 : r.value)] });
      plot.svg.append(node);
      plot.marks.push(node);
      plot.groups.push(q);
    }
  }
  plot.height = frame.bottom + 44;
}

/** Classes of bits as rows: room for names and numbers. */
function rows(report: Report, groups: Group[], width: number, plot: Plot, top: number): void {
  const m = g.measure();
  const classes = g.unique(groups.map((x) => x.bits));
  const arms = g.unique(groups.map((x) => x.arm));
  const tall = Math.max(40, arms.length * 20 + 14);
  const left = Math.min(120, Math.max(...classes.map((c) => mk.textWidth(g.bitsLabel(c), 13) + 24)));
  const right = width - (width > 480 ? 150 : 14);
  const frame = { left, right, top: top + 6, bottom: top + 6 + tall * classes.length };
  const run = groups.filter((x) => x.n > 0);
  const x = rateAxis(run.map((v) => v.rate[m].value), run.map((v) => v.rate[m].high), left + 8, right - 8);
  for (const t of x.ticks) plot.svg.append(mk.line(x.at(t), frame.top, x.at(t), frame.bottom, "grid"));
  mk.xAxis(plot.svg, frame, x, (v) => fmt.percent(v), fmt.MEASURE_NOUN[m]);
  classes.forEach((c, i) => {
    const y0 = frame.top + i * tall;
    if (i % 2 === 0) plot.svg.append(s("rect", { x: 0, y: y0, width, height: tall, class: "field" }));
    plot.svg.append(mk.text(left - 8, y0 + tall / 2 + 4, g.bitsLabel(c), "row-name", "end"));
    arms.forEach((arm, j) => {
      const q = groups.find((v) => v.arm === arm && v.bits === c);
      if (!q) return;
      const y = y0 + 7 + (j + 0.5) * ((tall - 14) / arms.length);
      const r = q.rate[m];
      const from = q.n === 0 ? left + 6 : x.at(r.k === 0 ? 0 : r.low);
      const node = dot(report, q, { from: [from, y], to: [x.at(r.high), y], mid: [x.at(r.k === 0 ? 0 : r.value), y] });
      plot.svg.append(node);
      if (width > 480) plot.svg.append(mk.text(right + 10, y + 4, fmt.certain(q) ? "provably masked" : q.n === 0 ? "not run" : r.k === 0 ? `0, ${fmt.atMost(r)}` : fmt.percent(r.value), "note"));
      plot.marks.push(node);
      plot.groups.push(q);
    });
  });
  plot.height = frame.bottom + 44;
}

function answer(report: Report, groups: Group[], base: number): string {
  const m = g.measure();
  const run = groups.filter((x) => x.arm === base && x.n > 0);
  const name = g.armName(report, base);
  if (run.length === 0) return `No trial yet.${g.unfinished(groups)}`;
  const sorted = [...run].sort((a, b) => b.rate[m].value - a.rate[m].value);
  const [worst, next] = sorted;
  if (worst!.rate[m].k === 0) {
    return `${name}: none seen in any class; at most ${fmt.percent(Math.max(...run.map((x) => x.rate[m].high)), 2)} in each.${g.unfinished(groups)}`;
  }
  const first = `${name}: ${g.bitsLabel(worst!.bits)} does most harm, ${fmt.percent(worst!.rate[m].value)} ${fmt.MEASURE_NOUN[m]}`;
  const rest = next && next.rate[m].high >= worst!.rate[m].low
    ? `, but the interval of ${g.bitsLabel(next.bits)} (${fmt.rateText(next.rate[m], next.n)}) overlaps it.`
    : next ? next.rate[m].k === 0
      ? `; next ${g.bitsLabel(next.bits)}, none seen in ${fmt.count(next.rate[m].n)}, ${fmt.atMost(next.rate[m])}.`
      : `; next ${g.bitsLabel(next.bits)} with ${fmt.percent(next.rate[m].value)}.` : ".";
  const others = groups.filter((x) => x.arm !== base && x.bits === worst!.bits && x.n > 0);
  const told = others.slice(0, 3);
  const words = told.map((x) => g.effectSentence(report, x, m, "there, "));
  const left = others.length - told.length;
  if (left > 0) words.push(` ${fmt.plural(left, "more arm")} of this campaign ${left === 1 ? "is" : "are"} in the figure and the table only.`);
  return first + rest + words.join("") + g.unfinished(groups);
}

export function drawBits(report: Report, width: number, open: (x: Group) => void): Drawing {
  const { meta } = report;
  const sweeps = bitSweeps(report);
  const all = report.groups.filter((x) => x.scope === "amount" && x.bits !== "" && sweeps.includes(x.sweep));
  const sweep = g.narrow(all, "b.sweep", "Sweep", (x) => meta.sweeps[x.sweep]!.name);
  const index = sweep.groups[0]!.sweep;
  const unit = meta.sweeps[index]!.amount_kind;
  const amount = g.narrow(sweep.groups, "b.amount", "Faults", g.byAmount, (v) => fmt.amount(unit, Number(v)), g.usualAmount(report, index, sweep.groups));
  const guard = g.narrow(amount.groups, "b.guard", "Read guard", g.byGuard);
  const fault = g.narrow(guard.groups, "b.kind", "Kind", g.byKind);
  const groups = fault.groups;
  const arms = g.unique(groups.map((x) => x.arm));
  const base = arms.includes(meta.base_arm) ? meta.base_arm : arms[0]!;
  const svg = s("svg", { role: "group", "aria-label": `${BITS_QUESTION} Dots with intervals; arrow keys move between them.` }, mk.hatch("hatch-bits"), mk.dots("dots-bits"));
  const top = mk.legend(svg, arms.map((arm) => ({ arm, dash: null, label: g.armName(report, arm) })), 4, width - 8) + 8;
  const plot: Plot = { svg, marks: [], groups: [], height: 0 };
  if (groups.every((x) => single(x.bits)) && g.unique(groups.map((x) => x.bits)).length > 6) columns(report, groups, width, plot, top);
  else rows(report, groups, width, plot, top);
  rove(plot.marks, 1, (i) => open(plot.groups[i]!));
  svg.setAttribute("viewBox", `0 0 ${width} ${plot.height}`);
  svg.setAttribute("width", String(width));
  const m = g.measure();
  return {
    answer: answer(report, groups, base),
    controls: [sweep.control, amount.control, guard.control, fault.control],
    plot: svg,
    caption: `Each trial: ${fmt.amount(unit, Number(amount.value))} ${fmt.siteWords(unit, meta.sweeps[index]!.sites)}, only in the named bits. Bars: ${g.intervalKind(report, groups)}. ` +
      `Hollow mark: none seen, the bar ends at the upper bound. Hatched: not run. ${groups.some(fmt.certain) ? "Dotted: provably masked, no fault there can matter. " : ""}Bit 31 is the sign, 30 the top exponent bit. ${measureRule(report)}` +
      (arms.length > 1 ? g.testKind(groups.filter((x) => x.arm !== base), "choices of bits") : ""),
    table: {
      head: ["arm", "bits", ...g.RATE_HEAD, ...g.PAIR_HEAD],
      rows: groups.map((x) => [g.armName(report, x.arm), g.bitsLabel(x.bits), ...g.rateFields(x, m), ...g.pairFields(x, m)]),
    },
  };
}
