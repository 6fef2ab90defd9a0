/** Numbers and words as people read them. */
import { format } from "d3-format";
import type { Measure, Meta, Rate, Sweep } from "./data";

const group = format(",d");
const MINUS = "\u2212";

export function count(n: number): string {
  return Number.isFinite(n) ? group(n) : "?";
}

export function compact(n: number): string {
  return n < 1e5 ? count(n) : format(".3s")(n).replace("k", " k").replace("M", " M").replace("G", " G");
}

/** A number with `digits` significant digits, without a tail of zeros. */
export function digits(v: number, n = 3): string {
  if (Number.isNaN(v)) return "none";
  if (!Number.isFinite(v)) return v > 0 ? "\u221e" : `${MINUS}\u221e`;
  if (v === 0) return "0";
  const a = Math.abs(v);
  const text = a >= 1e6 || a < 1e-4 ? format(`.${n}~e`)(v).replace("e+", "e") : format(`,.${n}~r`)(v);
  return text.replace(/-/g, MINUS);
}

export function percent(p: number, n = 3): string {
  if (Number.isNaN(p)) return "none";
  if (p > 0.9 && p < 1) return `${digits(Math.min(p, 0.99999) * 100, p > 0.999 ? 5 : n)} %`;
  return `${digits(p * 100, n)} %`;
}

/** Signed percentage points. */
export function points(d: number): string {
  const text = digits(d * 100, Math.abs(d) >= 0.1 ? 3 : 2);
  return d > 0 ? `+${text}` : text;
}

/** "p < 0.001", "p = 0.03". */
export function pValue(p: number): string {
  return p < 0.001 ? "p < 0.001" : `p = ${digits(p, 2)}`;
}

/** McNemar's test; faults of a list are not drawn, and there is nothing to test. */
export function pairTest(p: number): string {
  return Number.isNaN(p) ? "enumerated, without a test" : `McNemar exact ${pValue(p)}`;
}

/** An accuracy is a percentage, a perplexity a number. */
export function metric(meta: Meta, v: number): string {
  return meta.task.metric === "accuracy" ? percent(v) : digits(v, 4);
}

/** The interval of a metric; one of a sample without any spread would feign a certainty. */
export function metricSpan(meta: Meta, equal: number, low: number, high: number): string {
  if (equal > 0) return `(all ${count(equal)} equal)`;
  return Number.isNaN(low) && Number.isNaN(high) ? "(no interval)" : `[${metric(meta, low)}, ${metric(meta, high)}]`;
}

export function times(v: number): string {
  return `${digits(v, v < 10 ? 2 : 3)}\u00d7`;
}

export function interval(low: number, high: number): string {
  return `${percent(low)} to ${percent(high)}`;
}

/** "95 % interval 1 % to 2 %", or why there is none. */
export function rateSpan(r: Rate, level: number): string {
  if (r.basis === "proved") return "proved";
  return r.basis === "sampled" ? `${level} % interval ${interval(r.low, r.high)}` : `${count(r.k)} of ${count(r.n)}, enumerated, not sampled`;
}

/** How often it may happen that was never seen. */
export function atMost(r: Rate): string {
  if (r.basis === "proved") return "proved";
  return r.basis === "sampled" ? `at most ${percent(r.high, 2)}` : "enumerated, not sampled";
}

export function rateText(r: Rate, n: number): string {
  if (r.basis === "proved") return `${percent(r.value)} (proved)`;
  if (n === 0) return "not run";
  if (r.n === 0) return "nothing injected";
  if (r.basis === "enumerated") return `${count(r.k)} of ${count(r.n)} (enumerated, not sampled)`;
  if (r.k === 0) return `none seen in ${count(r.n)}, at most ${percent(r.high, 2)}`;
  return `${percent(r.value)} [${percent(r.low)}, ${percent(r.high)}]`;
}

/** What can be masked for certain: a cell or several. */
export interface Masked { sites: number; maskedSites: number }

/** Whether no fault of it can matter, whatever the trials say. */
export function certain(x: Masked): boolean {
  return x.sites > 0 && x.maskedSites === x.sites;
}

/** "" where no site is masked for certain. */
export function maskedText(x: Masked): string {
  if (x.maskedSites === 0) return "";
  return certain(x) ? "all its sites are provably masked" : `${percent(x.maskedSites / x.sites)} of its sites are provably masked`;
}

export function amount(kind: Sweep["amount_kind"], v: number): string {
  if (kind === "count") return v === 0 ? "no fault" : v === 1 ? "1 fault" : `${count(v)} faults`;
  if (v === 0) return "no fault";
  return kind === "rate" ? `faults in ${percent(v)} of the values` : `${digits(v)} faults per bit`;
}

export function amountShort(kind: Sweep["amount_kind"], v: number): string {
  if (kind === "count") return v < 1e5 ? count(v) : digits(v, 2);
  return kind === "rate" ? percent(v) : digits(v, 2);
}

/** "a", "a and b", "a, b and c". */
export function enumerate(words: string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

/** "of all parameters" after a share of values, "in the mlp" after a number of faults. */
export function siteWords(kind: Sweep["amount_kind"], sites: string): string {
  const where = sites === "all" ? "all parameters" : enumerate(sites.split("+"));
  return kind === "rate" ? `of ${where}` : `in ${where}`;
}

/** "1 trial is", "2 trials are": the noun's plural by an s. */
export function plural(n: number, noun: string, verbs: [string, string] = ["", ""]): string {
  const verb = n === 1 ? verbs[0] : verbs[1];
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}${verb ? ` ${verb}` : ""}`;
}

export function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const AMOUNT_AXIS: Record<Sweep["amount_kind"], string> = {
  count: "faults per trial",
  rate: "share of values hit, one bit each",
  ber: "bit error rate",
};

export const MEASURE_NOUN: Record<Measure, string> = {
  critical: "critical trials",
  sdc: "trials with a silently wrong answer",
  due: "trials that end in NaN, Inf or a detection",
};
/** How a trial is said to be one of those. */
export const MEASURE_VERB: Record<Measure, string> = {
  critical: "are critical",
  sdc: "have a silently wrong answer",
  due: "end in NaN, Inf or a detection",
};
export const MEASURE_SHORT: Record<Measure, string> = {
  critical: "critical",
  sdc: "silently wrong (SDC)",
  due: "detected or NaN (DUE)",
};

/** The campaign's own definition of a critical trial. */
export function criticalRule(meta: Meta): string {
  return meta.task.metric === "accuracy"
    ? `accuracy at least ${digits(meta.critical.accuracy_drop * 100)} points below the fault-free run`
    : `perplexity at least ${digits(meta.critical.perplexity_ratio)} times the fault-free run's`;
}

/** The paper's name for how a faulty value is read. */
export function conventionOf(guard: string): string {
  return guard === "none" ? "literal" : `sanitised (${guard})`;
}

export function when(ms: number | null): string {
  return ms === null ? "unknown" : new Date(ms).toISOString().replace("T", " ").slice(0, 19) + " UTC";
}

export function duration(ms: number): string {
  const t = Math.max(0, Math.round(ms / 1000));
  if (t < 120) return `${t} s`;
  if (t < 7200) return `${digits(t / 60, 3)} min`;
  return `${digits(t / 3600, 3)} h`;
}

export function hex(v: number, bits: number): string {
  return `0x${(v >>> 0).toString(16).padStart(bits / 4, "0")}`;
}

/** The fp32 value of a word's bits. */
export function float32(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits >>> 0);
  return view.getFloat32(0);
}
