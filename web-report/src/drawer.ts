/** The drawer: one cell or one trial in full, with the command that runs it again. */
import type { Cell, Group, Report, Trial } from "./data";
import { button, h } from "./dom";
import * as fmt from "./format";
import { armName } from "./groups";
import * as state from "./state";

export function trialId(report: Report, t: Trial): string {
  return `${report.cells[t.cell]?.id ?? "?"}/${t.trial}`;
}

/** The words of a shell command; quoted where a shell would read more than a word. */
export function shell(...words: string[]): string {
  return words.map((w) => (/^[\w@%+=:,./-]+$/.test(w) ? w : `'${w.replace(/'/g, "'\\''")}'`)).join(" ");
}

export function command(label: string, text: string): HTMLElement {
  const box = h("input", { readonly: true, "aria-label": label, spellcheck: "false" });
  box.value = text;
  const said = h("span", { class: "said", role: "status" });
  const copy = button("Copy", `Copy: ${label}`, () => {
    box.select();
    // A page opened from disk is no secure context, so the clipboard API may be absent.
    said.textContent = document.execCommand("copy") ? "copied" : "press Ctrl-C";
  });
  return h("div", { class: "command" }, box, copy, said);
}

function list(rows: [string, string][]): HTMLElement {
  return h("dl", {}, ...rows.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
}

/** Words of a storage format: how many bits, and the lowest of the exponent's, which end below the sign. */
interface Word {
  bits: number;
  exponent: number;
}
const FP32: Word = { bits: 32, exponent: 23 };
const WORDS: Record<string, Word> = {
  fp32: FP32, fp16: { bits: 16, exponent: 10 }, bf16: { bits: 16, exponent: 7 }, int8: { bits: 8, exponent: 7 },
};

/** What a trial's faults hit: words of the arm's format, but activations of an int8 model are fp32. */
function wordOf(report: Report, t: Trial): Word {
  const arm = armName(report, report.cells[t.cell]!.arm);
  const dtype = report.meta.arm_rows.find((x) => x.arm === arm)?.dtype ?? "fp32";
  const activation = /^(layer\.\d+\.|embedding\.out$|logits$)/.test(t.tensor);
  return dtype === "int8" && activation ? FP32 : WORDS[dtype] ?? FP32;
}

function bitRow(label: string, word: number, mask: number, value: string, form: Word = FP32): HTMLElement {
  const bits = Array.from({ length: form.bits }, (_, i) => {
    const bit = form.bits - 1 - i;
    const hit = ((mask >>> bit) & 1) === 1;
    const exponent = i > 0 && bit >= form.exponent;
    return h("span", { class: hit ? "bit hit" : exponent ? "bit exp" : "bit" }, String((word >>> bit) & 1));
  });
  return h("tr", {}, h("th", { scope: "row" }, label), h("td", { class: "bits" }, ...bits),
    h("td", {}, fmt.hex(word, form.bits)), h("td", {}, value));
}

function showTrial(report: Report, t: Trial): Node[] {
  const cell = report.cells[t.cell]!;
  const show = (v: number): string => fmt.metric(report.meta, v);
  const form = wordOf(report, t);
  const stored = (w: number): string => fmt.digits(fmt.float32(w), 6);
  const golden = report.meta.variants[cell.variant]?.golden;
  const nodes: Node[] = [
    list([
      ["outcome", `${report.meta.outcomes[t.outcome] ?? "?"}${t.critical ? ", critical" : ""}`],
      [report.meta.task.metric, `${show(t.metric)} (fault-free ${golden?.metric == null ? "unknown" : show(golden.metric)})`],
      ["answers changed", `${fmt.count(t.changed)} of ${fmt.count(t.answers)}`],
      ["largest logit deviation", fmt.digits(t.deviation)],
      ["KL from fault-free, nats", fmt.digits(t.kl)],
      ["faults drawn", fmt.count(t.faults)],
    ]),
  ];
  if (t.tensor !== "") {
    nodes.push(
      h("h3", {}, t.faults > 1 ? "First of its faults" : "The fault"),
      h("p", {}, `${t.tensor}, element ${fmt.count(t.element)}, bit ${t.bit}`),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Bits before and after" },
        h("table", {}, h("tbody", {},
          bitRow("stored before", t.before, t.before ^ t.after, form === FP32 ? stored(t.before) : "", form),
          bitRow("stored after", t.after, t.before ^ t.after, form === FP32 ? stored(t.after) : "", form),
          bitRow("read before", t.valueBefore, t.valueBefore ^ t.valueAfter, stored(t.valueBefore)),
          bitRow("read after", t.valueAfter, t.valueBefore ^ t.valueAfter, stored(t.valueAfter))))),
      h("p", { class: "caption" }, t.before === t.after ? "The fault changed no stored bit."
        : t.valueBefore === t.valueAfter ? "The stored bit changed; the value that was read did not."
          : "\u201cread\u201d is what the arithmetic saw, after protection and guard."),
    );
  }
  nodes.push(
    h("h3", {}, "Run this trial again"),
    command("Replay command", shell("flipsweep", "replay", report.meta.store, trialId(report, t))),
  );
  return nodes;
}

/** How many sites no fault can matter at, and why. */
function maskedReasons(c: Cell): string {
  const reasons: [number, string][] = [
    [c.maskedSegments, "in segments that no input has"],
    [c.maskedPositions, "in positions beyond the longest input"],
    [c.maskedTokenRows, "in rows of tokens that no input has"],
    [c.maskedBits, "in bits that the protection replaces unread"],
  ];
  const words = reasons.filter(([n]) => n > 0).map(([n, why]) => `${fmt.count(n)} ${why}`);
  return `${fmt.certain(c) ? "all" : fmt.percent(c.maskedSites / c.sites)} of ${fmt.count(c.sites)} sites: ${fmt.enumerate(words)}`;
}

function showCell(report: Report, c: Cell): Node[] {
  const { meta } = report;
  const kind = meta.sweeps[c.sweep]!.amount_kind;
  const rate = (r: Cell["critical"]): string => fmt.rateText(r, c.n);
  const m = c.metric;
  const ends = meta.outcomes.map((o, i) => [o, c.outcomes[i] ?? 0] as const).filter(([, n]) => n > 0);
  const pair = report.pairs.get(c.index);
  const nodes: Node[] = [
    list([
      ["arm", armName(report, c.arm)],
      ["faults", `${fmt.amount(kind, c.amount)}, ${c.kind}, bits ${c.bits}, in ${c.place}${c.layer >= 0 ? ` of layer ${c.layer}` : ""}`],
      ["read guard", c.guard],
      ["trials", `${fmt.count(c.n)} of ${fmt.count(c.planned)}${c.stopped ? ", stopped by the rule" : c.complete ? "" : ", unfinished"}`],
      ["outcomes", ends.map(([o, n]) => `${o} ${fmt.count(n)}`).join(", ") || "none yet"],
      ["critical", rate(c.critical) + (meta.sweeps[c.sweep]!.stop && c.n > 0 ? ", at the confidence of each look of its stopping rule" : "")],
      ["SDC trials", rate(c.sdc)],
      ["DUE trials", rate(c.due)],
      ["SDC per input", c.injected === 0 ? "not run" : c.basis === "sampled"
        ? `${fmt.percent(c.sdcInputs.value)} [${fmt.percent(c.sdcInputs.low)}, ${fmt.percent(c.sdcInputs.high)}], clustered by trial` : `${fmt.percent(c.sdcInputs.value)} (${c.basis})`],
      [meta.task.metric, c.injected === 0 ? "not run" : `mean ${fmt.metric(meta, m.mean)} ${fmt.metricSpan(meta, c.metricEqual, m.low, m.high)}${c.metricEqual > 0 || c.basis !== "sampled" ? "" : " (bootstrap)"}, median ` +
        `${fmt.metric(meta, c.median.value)}, 5 % to 95 % of trials ${fmt.metric(meta, c.q05)} to ${fmt.metric(meta, c.q95)}${c.nonfinite ? `; ${fmt.count(c.nonfinite)} trials without a finite one` : ""}`],
      ["words read wrongly", `${fmt.count(c.visible)} from ${fmt.count(c.faults)} faults; corrected ${fmt.count(c.corrected)}, detected ${fmt.count(c.detected)}, miscorrected ${fmt.plural(c.miscorrected, "unit")} of codewords`],
      ...(c.checkFaults ? [["faults beside the words", fmt.count(c.checkFaults)] as [string, string]] : []),
      ...(c.maskedSites ? [["provably masked", maskedReasons(c)] as [string, string]] : []),
    ]),
  ];
  if (pair) {
    const a = report.cells[pair.a]!;
    nodes.push(
      h("h3", {}, `Same faults, against ${armName(report, a.arm)}`),
      list([
        ["paired trials", fmt.count(pair.n)],
        ["critical in both / only there / only here / neither", [pair.both, pair.onlyA, pair.onlyB, pair.neither].map(fmt.count).join(" / ")],
        ["McNemar, exact, two-sided", Number.isNaN(pair.p) ? "none: enumerated, not sampled" : `p = ${pair.p < 0.0001 ? "below 0.0001" : fmt.digits(pair.p, 2)}`],
        ["risk ratio", fmt.digits(pair.ratio.value) + (Number.isNaN(pair.p) ? "" : ` [${fmt.digits(pair.ratio.low)}, ${fmt.digits(pair.ratio.high)}]`)],
        [`difference in ${meta.task.metric}`, Number.isNaN(pair.metric.value) ? "none" : meta.task.metric === "accuracy"
          ? `${fmt.points(pair.metric.value)} points` + (Number.isNaN(pair.p) ? "" : ` [${fmt.points(pair.metric.low)}, ${fmt.points(pair.metric.high)}]`)
          : fmt.digits(pair.metric.value) + (Number.isNaN(pair.p) ? "" : ` [${fmt.digits(pair.metric.low)}, ${fmt.digits(pair.metric.high)}]`)],
      ]),
    );
  }
  const own = report.trials.filter((t) => t.cell === c.index);
  own.sort((x, y) => Number(y.critical) - Number(x.critical) || y.outcome - x.outcome || (y.deviation || 0) - (x.deviation || 0));
  if (own.length > 0) {
    nodes.push(h("h3", {}, `Trials of this cell in this file: ${fmt.count(own.length)}, worst first`));
    const items = own.slice(0, 12).map((t) =>
      h("li", {}, button(`${t.trial}: ${meta.outcomes[t.outcome] ?? "?"}${t.critical ? ", critical" : ""}, deviation ${fmt.digits(t.deviation)}`,
        `Trial ${t.trial}`, () => state.set({ cell: trialId(report, t) }), "row")));
    nodes.push(h("ul", { class: "plain" }, ...items));
  }
  return nodes;
}

/** The cells that a mark of several cells stands for. */
function showGroup(report: Report, x: Group): Node[] {
  const own = cellsOf(report, x);
  const items = own.slice(0, 200).map((c) =>
    h("li", {}, button(`${c.id}: ${fmt.rateText(c.critical, c.n)}`, `Cell ${c.id}`, () => state.set({ cell: c.id }), "row")));
  return [
    list([
      ["arm", armName(report, x.arm)],
      ["trials", `${fmt.count(x.n)} of ${fmt.count(x.planned)}`],
      ["critical", fmt.rateText(x.rate.critical, x.n)],
      ["SDC trials", fmt.rateText(x.rate.sdc, x.n)],
      ["DUE trials", fmt.rateText(x.rate.due, x.n)],
      ...(x.maskedSites ? [["provably masked", fmt.sentenceCase(fmt.maskedText(x))] as [string, string]] : []),
    ]),
    h("p", { class: "caption" }, "A mean over these cells, weighted by their number of sites."),
    h("h3", {}, `Its ${fmt.count(own.length)} cells: share of critical trials`),
    h("ul", { class: "plain" }, ...items),
  ];
}

/** @return the cells that were taken together in a group. */
function cellsOf(report: Report, x: Group): Cell[] {
  return report.cells.filter((c) =>
    c.sweep === x.sweep && c.arm === x.arm && c.guard === x.guard && c.kind === x.kind && c.amount === x.amount &&
    (x.bits === "" || c.bits === x.bits) && (x.scope === "amount" || (c.place === x.place && c.layer === x.layer)));
}

/** Opens the cell of a mark, or the list of its cells. */
export function openGroup(report: Report, x: Group): void {
  state.set({ cell: x.cell >= 0 ? report.cells[x.cell]!.id : `@${report.groups.indexOf(x)}` });
}

/** Opens for whatever the state's `cell` names: a cell's id, or a trial's. */
export function startDrawer(report: Report): void {
  const body = h("div", {});
  const title = h("h2", { id: "drawer-title" });
  const dialog = h("dialog", { id: "drawer", "aria-labelledby": "drawer-title" },
    h("header", {}, title, button("\u00d7", "Close", () => dialog.close(), "close")), body);
  document.body.append(dialog);
  let before: Element | null = null;
  dialog.addEventListener("close", () => {
    state.set({ cell: "" });
    if (before instanceof HTMLElement || before instanceof SVGElement) before.focus();
  });
  dialog.addEventListener("click", (e) => {
    if (e.target === dialog) dialog.close();
  });
  const show = (): void => {
    const id = state.get("cell");
    const cell = report.cells.find((c) => c.id === id);
    const group = id.startsWith("@") ? report.groups[Number(id.slice(1))] : undefined;
    const trial = cell || group ? undefined : report.trials.find((t) => trialId(report, t) === id);
    if (!cell && !trial && !group) {
      if (dialog.open) dialog.close();
      return;
    }
    title.textContent = group ? `Several cells of ${report.meta.sweeps[group.sweep]!.name}` : id;
    const nodes = cell ? showCell(report, cell) : group ? showGroup(report, group) : showTrial(report, trial!);
    body.replaceChildren(...nodes);
    if (trial) {
      const parent = report.cells[trial.cell]!.id;
      body.append(button("\u2190 the cell", "Back to the cell", () => state.set({ cell: parent }), "row"));
    }
    if (!dialog.open) {
      before = document.activeElement;
      dialog.showModal();
    }
  };
  state.listen((keys) => keys.has("cell") && show());
  show();
}
