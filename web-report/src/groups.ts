/** Finding the group of cells that a choice on the page means. */
import type { Group, Measure, Report } from "./data";
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

/** The arm that another is compared with. */
export function baseOf(report: Report, arm: number): number {
  return report.meta.arms[arm]?.base ?? report.meta.base_arm;
}

/** What a choice of arms begins with: protection, where there is any. */
export function firstProtected(report: Report, groups: Group[]): string | undefined {
  const found = groups.find((x) => (report.meta.arms[x.arm]?.protect.length ?? 0) > 0);
  return found && armName(report, found.arm);
}

/** Whether a group is compared with one that met unlike faults, and so by its share alone. */
export function unpaired(x: Group, m: Measure): boolean {
  return x.difference[m] !== null && x.paired[m].n === 0 && x.basis !== "enumerated";
}

/** Both arms' counts on the same faults, with the test that compares them. */
export function pairedText(report: Report, x: Group, m: Measure): string {
  const q = x.paired[m];
  const [a, b] = [armName(report, baseOf(report, x.arm)), armName(report, x.arm)];
  const of = (k: number): string => `${fmt.count(k)} of ${fmt.count(q.n)}`;
  const holm = x.comparisons > 1 ? `, after Holm ${fmt.pValue(q.holm)}` : "";
  return `with ${b} ${of(q.arm)} trials ${fmt.MEASURE_VERB[m]}, ${a} ${of(q.base)} on the same faults (${fmt.pairTest(q.p)}${Number.isNaN(q.p) ? "" : holm})`;
}

/** Why a weighted mean may stay open where the pairs show an effect; "" where it is bounded. */
export function openMean(report: Report, x: Group, m: Measure): string {
  const d = x.difference[m];
  const shown = x.effect[m] === "fewer" || x.effect[m] === "more";
  if (!shown || x.cells < 2 || !d || d.high < 0 || d.low > 0) return "";
  const cell = report.cells[x.widest[m]];
  if (!cell) return "too few trials to bound the weighted mean";
  const where = x.scope === "place" ? "" : cell.layer < 0 ? cell.place : `layer ${cell.layer}, ${cell.place}`;
  const bits = x.bits === "" && report.meta.sweeps[x.sweep]!.bits.length > 1 ? bitsLabel(cell.bits) : "";
  return `too few trials in ${[where, bits].filter((w) => w !== "").join(", ") || "one cell"} to bound the weighted mean`;
}

/** The same of arms that meet unlike faults: the difference of their shares. */
function unpairedSentence(report: Report, x: Group, m: Measure, where: string): string {
  const d = x.difference[m]!;
  const arms = `${armName(report, x.arm)} less ${armName(report, baseOf(report, x.arm))}, unpaired on unlike faults`;
  const text = `${arms}: ${fmt.points(d.value)} points of ${fmt.MEASURE_NOUN[m]} (${report.meta.confidence} % interval ${fmt.points(d.low)} to ${fmt.points(d.high)})`;
  return ` ${fmt.sentenceCase(where)}${text}${x.effect[m] === "none" ? ": no measurable difference" : ""}.`;
}

/** The line of a figure about one arm at one group: what the pairs show, and what stays open. */
export function effectSentence(report: Report, x: Group, m: Measure, where = ""): string {
  const q = x.paired[m];
  if (unpaired(x, m)) return unpairedSentence(report, x, m, where);
  if (q.n === 0 || x.effect[m] === "unknown") return "";
  const open = openMean(report, x, m);
  const more = x.effect[m].startsWith("hint") ? ": not enough to call it a difference"
    : x.effect[m] === "none" ? ": no measurable difference" : open === "" ? "" : `; ${open}`;
  return ` ${fmt.sentenceCase(`${where}${pairedText(report, x, m)}`)}${more}.`;
}

/** How the arms of these groups are compared; printed under every figure that does. */
export function testKind(groups: Group[], among: string): string {
  const unlike = groups.some((x) => unpaired(x, measure()));
  const apart = ` Arms whose words have unlike formats meet unlike faults: their shares are compared unpaired, by the square-and-add interval (Newcombe) of the difference, not adjusted for the number of ${among}.`;
  if (unlike && groups.every((x) => x.paired[measure()].n === 0)) return apart;
  const tests = Math.max(0, ...groups.map((x) => x.comparisons));
  const level = ` ${unlike ? "Arms of one format" : "Arms"} are compared on the same faults by McNemar\u2019s exact test, pooled over the cells`;
  return `${level}${tests < 2 ? "" : `, adjusted over the ${fmt.count(tests)} ${among} (Holm)`}.${unlike ? apart : ""}`;
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
  if (g.n === 0) return ["0", "", r.basis === "proved" ? fmt.percent(0) : "not run", r.basis === "proved" ? "proved" : "", ""];
  if (r.basis !== "sampled") return [fmt.count(g.n), `${fmt.count(r.k)} of ${fmt.count(r.n)}`, fmt.percent(r.value), r.basis, ""];
  return [fmt.count(g.n), fmt.count(r.k), fmt.percent(r.value), fmt.percent(r.low), fmt.percent(r.high)];
}

/** The counts on the same faults as table fields. */
export const PAIR_HEAD = ["same faults", "only in the baseline", "only here", "McNemar p", "p after Holm"];
export function pairFields(g: Group, m: Measure): string[] {
  const q = g.paired[m];
  if (q.n === 0) return ["", "", "", "", ""];
  return [fmt.count(q.n), fmt.count(q.onlyBase), fmt.count(q.onlyArm), fmt.digits(q.p, 2), fmt.digits(q.holm, 2)];
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
  const known = [
    groups.some((g) => g.basis === "enumerated") ? "lists and logs are enumerated, not sampled, and have no interval" : "",
    groups.some((g) => g.basis === "proved") ? "proved: no fault there can matter, whatever is drawn" : "",
  ].filter((words) => words !== "").join("; ");
  if (groups.length > 0 && groups.every((g) => g.basis !== "sampled")) return known;
  if (known !== "") return `${intervalKind(report, groups.filter((g) => g.basis === "sampled"))}; ${known}`;
  if (many && one) return `${exact}; where cells are taken together, ${pooled}`;
  return many ? pooled : exact;
}
