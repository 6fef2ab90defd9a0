/** Figure 0: is it worth it? One sentence with its interval and convention, and four tiles. */
import type { Golden, Group, Measure, Report } from "./data";
import { h } from "./dom";
import * as fmt from "./format";
import * as g from "./groups";
import { armClass, marker } from "./marks";
import { s } from "./dom";
import * as state from "./state";

interface Headline {
  base: Group; // of the chosen arm
  all: Group[]; // the same point in all arms
  chosen: Group | null;
  controls: (HTMLElement | null)[];
}

/** The point of the sweep that the verdict speaks about. */
function headline(report: Report): Headline | null {
  const { meta } = report;
  const all = report.groups.filter((x) => x.scope === "amount");
  const order = g.unique(all.map((x) => x.sweep)).sort((a, b) => {
    const whole = (i: number): number => meta.sweeps[i]!.by.length * 2 + (meta.sweeps[i]!.bits.length > 1 ? 1 : 0);
    return whole(a) - whole(b) || a - b;
  });
  if (order.length === 0) return null;
  const sorted = order.flatMap((i) => all.filter((x) => x.sweep === i));
  const sweep = g.narrow(sorted, "v.sweep", "Sweep", (x) => meta.sweeps[x.sweep]!.name);
  const index = sweep.groups[0]!.sweep;
  const kind = meta.sweeps[index]!.amount_kind;
  const amount = g.narrow(
    sweep.groups, "v.amount", "Faults", g.byAmount,
    (v) => fmt.amount(kind, Number(v)), g.usualAmount(report, index, sweep.groups),
  );
  const guard = g.narrow(amount.groups, "v.guard", "Read guard", g.byGuard);
  const fault = g.narrow(guard.groups, "v.kind", "Kind", g.byKind);
  const bits = g.narrow(fault.groups, "v.bits", "Bits", g.byBits, g.bitsLabel);
  const at = bits.groups;
  const first = at.find((x) => x.arm === meta.base_arm) ?? at[0];
  if (!first) return null;
  const others = at.filter((x) => x !== first);
  const names = others.map((x) => g.armName(report, x.arm));
  const usual = g.firstProtected(report, others);
  const chosen = others[names.indexOf(state.choose("v.arm", names, usual))] ?? null;
  const base = (chosen && at.find((x) => x.arm === g.baseOf(report, chosen.arm))) ?? first;
  const controls = [sweep.control, amount.control, guard.control, fault.control, bits.control];
  if (others.length > 1) {
    controls.push(
      g.narrow(others, "v.arm", "Arm", (x) => g.armName(report, x.arm), (v) => v, usual).control,
    );
  }
  return { base, all: [first, ...others], chosen, controls };
}

function none(group: Group, m: Measure): string {
  return `none seen in ${fmt.count(group.rate[m].n)}, ${fmt.atMost(group.rate[m])}`;
}

function where(report: Report, group: Group): string {
  const sweep = report.meta.sweeps[group.sweep]!;
  const bits = group.bits === "" ? "" : ` (${g.bitsLabel(group.bits)})`;
  const mean = group.cells > 1 ? ` (mean over ${fmt.count(group.cells)} cells, weighted by their sites)` : "";
  return `${fmt.amount(sweep.amount_kind, group.amount)}${bits} ${fmt.siteWords(sweep.amount_kind, sweep.sites)}${mean}`;
}

function one(report: Report, a: Group, m: Measure): string {
  const name = g.armName(report, a.arm);
  const noun = fmt.MEASURE_NOUN[m];
  if (a.n === 0) return "No trial of this point has finished yet.";
  if (a.amount === 0) return faultless(report, a);
  if (a.rate[m].k === 0) return `With ${where(report, a)}, ${noun} in ${name}: ${none(a, m)}.`;
  return (
    `With ${where(report, a)}, ${fmt.percent(a.rate[m].value)} of ${name}\u2019s trials ${fmt.MEASURE_VERB[m]} ` +
    `(${fmt.rateSpan(a.rate[m], report.meta.confidence)}).`
  );
}

/** The check of the instrument: without faults every output is that of the fault-free run. */
function faultless(report: Report, a: Group): string {
  const name = g.armName(report, a.arm);
  const masked = report.meta.outcomes.indexOf("masked");
  const cells = report.cells.filter((c) => c.sweep === a.sweep && c.arm === a.arm && c.amount === 0 && c.guard === a.guard);
  const n = cells.reduce((sum, c) => sum + c.n, 0);
  const same = cells.reduce((sum, c) => sum + (c.outcomes[masked] ?? 0), 0);
  return same === n
    ? `Without faults all ${fmt.count(n)} trials of ${name} are masked: every output is bit for bit that of the fault-free run.`
    : `Without any fault ${fmt.plural(n - same, "trial", ["differs", "differ"])} of ${fmt.count(n)} in ${name} from the fault-free run: the set-up itself is not sound.`;
}

/** The sentence. An effect is claimed only where the interval of the difference excludes none. */
function sentence(report: Report, a: Group, b: Group | null, m: Measure): string {
  if (!b || a.n === 0 || b.n === 0 || a.amount === 0) {
    const waiting = b && a.n > 0 && b.n === 0 ? ` ${g.armName(report, b.arm)} has no trial yet.` : "";
    return one(report, b && a.n === 0 ? b : a, m) + waiting;
  }
  const [nameA, nameB] = [g.armName(report, a.arm), g.armName(report, b.arm)];
  const [ra, rb] = [a.rate[m], b.rate[m]];
  const noun = fmt.MEASURE_NOUN[m];
  if (ra.k === 0 && rb.k === 0) {
    return `No ${noun} in either arm with ${where(report, a)}: ${nameA} ${none(a, m)}; ${nameB} ${none(b, m)}.`;
  }
  const d = b.difference[m];
  const level = `${report.meta.confidence} % interval`;
  const from = ra.k === 0 ? `none seen (${fmt.atMost(ra)})` : fmt.percent(ra.value);
  const to = rb.k === 0 ? `none seen in ${fmt.count(rb.n)} (${fmt.atMost(rb)})` : fmt.percent(rb.value);
  const effect = b.effect[m];
  if (b.basis === "enumerated") {
    return `Enumerated, not sampled, with ${where(report, a)}: ${noun} are ${fmt.count(ra.k)} of ${fmt.count(ra.n)} in ${nameA} ` +
      `and ${fmt.count(rb.k)} of ${fmt.count(rb.n)} in ${nameB}.`;
  }
  const open = g.openMean(report, b, m);
  const paired = b.paired[m].n > 0 ? g.effectSentence(report, b, m)
    : g.unpaired(b, m) ? " The arms meet unlike faults: shares are compared unpaired." : "";
  if (open !== "" || effect.startsWith("hint")) {
    const counts = paired.trim().replace(/\.$/, "");
    return `${counts}, with ${where(report, a)}. Weighted: ${from} against ${to} ` +
      `(${fmt.points(d!.value)} points, ${level} ${fmt.points(d!.low)} to ${fmt.points(d!.high)}).`;
  }
  switch (effect) {
    case "fewer":
      return (
        `${nameB} cuts ${noun} from ${from} to ${to}, with ${where(report, a)}: ` +
        `${fmt.points(-d!.value).replace("+", "")} points fewer (${level} ` +
        `${fmt.points(-d!.high).replace("+", "")} to ${fmt.points(-d!.low).replace("+", "")}).${paired}`
      );
    case "more":
      return (
        `${nameB} makes it worse: ${noun} go from ${from} to ${to}, with ${where(report, a)} ` +
        `(${fmt.points(d!.value)} points, ${level} ${fmt.points(d!.low)} to ${fmt.points(d!.high)}).${paired}`
      );
    default:
      return (
        `No measurable difference between ${nameA} and ${nameB}, with ${where(report, a)}: ` +
        `${from} against ${to} ${noun}` +
        (d ? ` (${fmt.points(d.value)} points, ${level} ${fmt.points(d.low)} to ${fmt.points(d.high)}).` : ".") +
        (g.unpaired(b, m) ? paired : "")
      );
  }
}

function tile(label: string, value: string, below: string, look = ""): HTMLElement {
  return h("div", { class: `tile ${look}` }, h("p", { class: "label" }, label),
    h("p", { class: "value" }, value), h("p", { class: "below" }, below));
}

function rateTile(report: Report, x: Group, m: Measure): HTMLElement {
  const r = x.rate[m];
  const label = `${g.armName(report, x.arm)}: ${fmt.MEASURE_SHORT[m]}`;
  if (x.n === 0) return tile(label, "not run", `0 of ${fmt.count(x.planned)} trials`, armClass(x.arm));
  const value = r.k === 0 ? "none seen" : fmt.percent(r.value);
  const below = r.k === 0 ? `in ${fmt.count(r.n)} trials, ${fmt.atMost(r)}`
    : r.basis === "enumerated" ? fmt.rateSpan(r, 0) : fmt.interval(r.low, r.high);
  const box = tile(label, value, below, armClass(x.arm));
  const icon = s("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" });
  icon.append(marker(x.arm, 0, 0, r.k === 0));
  box.querySelector(".label")!.prepend(icon);
  return box;
}

function golden(report: Report, x: Group): Golden | null {
  const cell = report.cells.find((c) => c.sweep === x.sweep && c.arm === x.arm && c.guard === x.guard);
  return cell ? (report.meta.variants[cell.variant]?.golden ?? null) : null;
}

/** What lies between two arms of one model: how values are stored, their protection, or both. */
function costOf(report: Report, a: Group, b: Group): string {
  const [x, y] = [report.meta.arms[a.arm]!, report.meta.arms[b.arm]!];
  if (x.model !== y.model) return " of both models";
  const words = [x.dtype !== y.dtype ? "storing" : "", y.protect.length > 0 ? "protection" : ""].filter((w) => w !== "");
  return words.length ? `, the cost of ${words.join(" and ")}` : "";
}

function goldenTile(report: Report, a: Group, b: Group | null): HTMLElement {
  const { meta } = report;
  const ga = golden(report, a)?.metric ?? null;
  const gb = b ? (golden(report, b)?.metric ?? null) : null;
  const name = meta.task.metric;
  const show = (v: number | null): string => (v === null ? "unknown" : fmt.metric(meta, v));
  if (!b) return tile(`Fault-free ${name}`, show(ga), g.armName(report, a.arm));
  if (ga === null || gb === null) {
    const both = ga === null && gb === null ? "not run" : `${show(ga)} / ${show(gb)}`;
    return tile(`Fault-free ${name}`, both, `${g.armName(report, a.arm)} / ${g.armName(report, b.arm)}`);
  }
  const accuracy = name === "accuracy";
  const d = gb - ga;
  const change = d === 0 ? "unchanged" : accuracy ? `${fmt.points(d)} points` : `${d > 0 ? "+" : ""}${fmt.digits((d / ga) * 100, 2)} %`;
  return tile(`Clean ${name}${costOf(report, a, b)}`, change, `${show(ga)} \u2192 ${show(gb)} without faults`);
}

function trialsTile(report: Report): HTMLElement {
  const p = report.meta.progress;
  const share = p.planned > 0 ? p.done / p.planned : 1;
  const early = report.cells.filter((c) => c.stopped).length;
  const notes = [early ? `${fmt.plural(early, "cell")} stopped early by rule` : "", p.quarantined ? `${fmt.count(p.quarantined)} quarantined` : ""];
  const below = p.complete
    ? ["complete", ...notes.filter((x) => x !== "")].join(", ")
    : `unfinished: ${fmt.percent(Math.min(share, 0.999), 2)} of ${fmt.compact(p.planned)} planned`;
  return tile("Trials", fmt.compact(p.done), below, p.complete ? "" : "warn");
}

/** All arms at the headline's point, when there are more than two. */
function armTable(report: Report, all: Group[], m: Measure): HTMLElement {
  const words = {
    fewer: "fewer", more: "more", none: "no measurable difference", unknown: "unknown",
    "hint-fewer": "not enough to tell", "hint-more": "not enough to tell",
  };
  const test = (x: Group): string => (x.paired[m].n > 0
    ? `; ${fmt.count(x.paired[m].base)} against ${fmt.count(x.paired[m].arm)} on the same ${fmt.count(x.paired[m].n)} faults, ${fmt.pairTest(x.paired[m].p)}` : g.unpaired(x, m) ? "; unpaired, on unlike faults" : "");
  const row = (x: Group): HTMLElement => {
    const d = x.difference[m];
    const verdict = x === all[0] ? "baseline" : d
      ? `against ${g.armName(report, g.baseOf(report, x.arm))}: ${words[x.effect[m]]} (${fmt.points(d.value)} points${x.basis === "enumerated" ? "" : `, ${fmt.points(d.low)} to ${fmt.points(d.high)}`}${test(x)})` : "not run";
    return h("tr", {}, h("th", { scope: "row" }, g.armName(report, x.arm)),
      h("td", {}, fmt.rateText(x.rate[m], x.n)), h("td", {}, verdict));
  };
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All arms" },
    h("table", {}, h("caption", {}, "All arms at this point"),
      h("thead", {}, h("tr", {}, ...["arm", fmt.MEASURE_NOUN[m], "against its own baseline"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, ...all.map(row))));
}

function conventionLine(report: Report, a: Group, b: Group | null): string {
  const { meta } = report;
  const rule = measureRule(report);
  return (
    `Reading convention: ${fmt.conventionOf(a.guard)}. ${rule} Interval: ${g.intervalKind(report, [a])}` +
    (b && g.unpaired(b, g.measure()) ? "; words of unlike formats meet unlike faults, so the two arms\u2019 shares are compared unpaired: the interval of their difference, which adds the two arms\u2019 in squares (Newcombe), decides whether there is one"
      : b && b.basis !== "enumerated" ? "; the size of a difference adds the two arms\u2019 intervals in squares (Newcombe); whether there is one, McNemar\u2019s exact test decides on the faults that both arms met" : "") +
    `. Arithmetic ${meta.convention}.`
  );
}

/** What the chosen measure counts. */
export function measureRule(report: Report): string {
  switch (g.measure()) {
    case "sdc":
      return "Counted: trials in which at least one answer differs and nothing noticed (SDC); this depends on the number of inputs.";
    case "due":
      return "Counted: trials that end in NaN or Inf, or in an error detected and not corrected (DUE).";
    default:
      return `Critical: ${fmt.criticalRule(report.meta)}.`;
  }
}

export function drawVerdict(report: Report): HTMLElement[] {
  const m = g.measure();
  const { progress } = report.meta;
  const found = headline(report);
  const late = progress.complete ? "" :
    ` The campaign is unfinished: ${fmt.count(progress.done)} of ${fmt.count(progress.planned)} planned trials are in.`;
  if (!found) return [h("p", { class: "verdict" }, `This campaign has no cells.${late}`)];
  const { base, all, chosen } = found;
  const tiles = h("div", { class: "tiles" }, rateTile(report, base, m));
  if (chosen) tiles.append(rateTile(report, chosen, m));
  else tiles.append(rateTile(report, base, m === "sdc" ? "due" : "sdc"));
  tiles.append(trialsTile(report), goldenTile(report, base, chosen));
  const controls = found.controls.filter((c) => c !== null);
  return [
    h("h2", { class: "sr" }, "Is it worth it?"),
    h("p", { class: "verdict", "aria-live": "polite" }, sentence(report, base, chosen, m) + late),
    ...(controls.length ? [h("div", { class: "controls" }, ...controls)] : []),
    tiles,
    h("p", { class: "caption" }, conventionLine(report, base, chosen)),
    ...(all.length > 2 ? [armTable(report, all, m)] : []),
  ];
}
