/** Finding the group of cells that a choice on the page means. */
import type { Difference, Group, Measure, Rate, Report } from "./data";
import { select } from "./dom";
import * as fmt from "./format";
import * as state from "./state";

export function unique<T>(values: T[]): T[] {
  return [...new Set(values)];
}

export function measure(): Measure {
  return state.choose("measure", ["critical", "sdc", "due"]) as Measure;
}

/** One axis of choices: narrows `groups` to the chosen value and makes its control. */
export function narrow(
  groups: Group[],
  key: state.Key,
  label: string,
  of: (g: Group) => string,
  show: (value: string) => string = (v) => v,
  fallback?: string,
): { groups: Group[]; value: string; control: HTMLElement | null } {
  const choices = unique(groups.map(of));
  const value = state.choose(key, choices, fallback);
  const control = select(
    label,
    choices.map((c) => [c, show(c)]),
    value,
    (v) => state.set({ [key]: v }),
  );
  return { groups: groups.filter((g) => of(g) === value), value, control };
}

export function bitsLabel(bits: string): string {
  if (bits === "") return "all together";
  return /^\d+$/.test(bits) ? `bit ${bits}` : bits;
}

export const byBits = (g: Group): string => g.bits;
export const byGuard = (g: Group): string => g.guard;
export const byKind = (g: Group): string => g.kind;
export const byAmount = (g: Group): string => String(g.amount);

/** The paper's rate where the campaign has it, else the middle one of those that do harm. */
export function usualAmount(report: Report, sweep: number, groups: Group[]): string {
  const amounts = unique(groups.map((g) => g.amount)).sort((a, b) => a - b);
  if (report.meta.sweeps[sweep]!.amount_kind === "rate" && amounts.includes(0.01)) return "0.01";
  const faulty = amounts.filter((a) => a > 0);
  return String(faulty[Math.floor(faulty.length / 2)] ?? amounts[0] ?? 0);
}

/** The gate: may a sentence speak of an effect? */
export type Effect = "fewer" | "more" | "none" | "unknown";
export function effect(d: Difference | null): Effect {
  if (!d || Number.isNaN(d.low) || Number.isNaN(d.high)) return "unknown";
  if (d.high < 0) return "fewer";
  if (d.low > 0) return "more";
  return "none";
}

/** How many times fewer, base against protected; a lower bound if none was seen protected. */
export function fewer(base: Rate, other: Rate): { ratio: number; bound: boolean } {
  return other.k === 0 || other.value === 0
    ? { ratio: base.value / other.high, bound: true }
    : { ratio: base.value / other.value, bound: false };
}

/** "" for a finished set of groups, else how far it is. */
export function unfinished(groups: Group[]): string {
  const planned = groups.reduce((a, g) => a + g.planned, 0);
  const n = groups.reduce((a, g) => a + g.n, 0);
  const open = groups.filter((g) => g.n < g.planned).length;
  if (open === 0) return "";
  return ` Unfinished: ${fmt.count(n)} of ${fmt.count(planned)} trials are in.`;
}

export function armName(report: Report, arm: number): string {
  return report.meta.arms[arm]?.name ?? "?";
}

/** Rate, interval and counts of one group as table fields; the head goes beside. */
export const RATE_HEAD = ["trials", "count", "rate", "low", "high"];
export function rateFields(g: Group, m: Measure): string[] {
  const r = g.rate[m];
  if (g.n === 0) return ["0", "", "not run", "", ""];
  return [fmt.count(g.n), fmt.count(r.k), fmt.percent(r.value), fmt.percent(r.low), fmt.percent(r.high)];
}

/** Which interval a set of groups carries; printed under every figure. */
export function intervalKind(report: Report, groups: Group[]): string {
  const many = groups.some((g) => g.cells > 1);
  const one = groups.some((g) => g.cells === 1);
  const level = `${report.meta.confidence} %`;
  const ruled = groups.some((g) => report.meta.sweeps[g.sweep]?.stop);
  const exact = `${level} Clopper-Pearson intervals over trials${ruled ? " (critical under a stopping rule: that confidence over all looks)" : ""}`;
  const pooled =
    `means over cells weighted by their number of sites, with ${level} stratified Wilson ` +
    "intervals (square-and-add)";
  if (many && one) return `${exact}; where cells are taken together, ${pooled}`;
  return many ? pooled : exact;
}
