/** Table 10: how was it measured? Definitions, conventions, provenance. */
import type { Report } from "./data";
import { gridTable } from "./card";
import { command, shell } from "./drawer";
import { h } from "./dom";
import * as fmt from "./format";

const OUTCOMES: [string, string][] = [
  ["masked", "every output is bit for bit that of the fault-free run"],
  ["benign", "outputs differ in some bit, every answer is the same"],
  ["SDC", "silent data corruption: an answer differs and nothing noticed"],
  ["DUE", "detected, uncorrected: NaN or Inf in the output, or a protection saw an error that it could not correct"],
];

function definitions(report: Report): [string, string][] {
  const { meta } = report;
  return [
    ["trial", "one list of faults drawn, applied, evaluated over all inputs, undone; it takes the worst outcome of its inputs"],
    ...OUTCOMES,
    ["critical", fmt.criticalRule(meta)],
    ["fault-free run", "the same arm, read guard, machine convention and inputs without faults"],
    ["arm", "a model as it is stored, with its protections; all arms of one format meet the same faults, unlike formats unlike ones. A protected arm is compared with the unprotected arm of its own model and format where there is one, else with the first arm without protection"],
    ["rate", "a share of values: each value is hit with this probability, in one uniformly chosen bit of those allowed"],
    ["bit error rate", "each stored bit is hit with this probability"],
    ["read guard", "what reading makes of an impossible value. none: the value as stored (literal). nonfinite-zero: NaN and Inf read as 0 (sanitised). threshold:T: also what exceeds T"],
  ];
}

const STOPPED: [string, string] = [
  "critical share under a stopping rule",
  "the interval at the higher confidence that each look spends, 1 \u2212 (1 \u2212 confidence) / looks: so the rule\u2019s confidence holds wherever it stopped",
];

function statistics(report: Report): [string, string][] {
  const level = `${report.meta.confidence} %`;
  const rule = report.meta.sweeps.map((x) => `${x.name}: ${x.stop
    ? `looks at 100, 200, 400\u2026 trials; stops at half-width ${fmt.digits(x.stop.half_width)} and ${fmt.percent(x.stop.confidence)} confidence over all looks, at most ${fmt.count(x.stop.at_most)}`
    : `fixed at ${fmt.count(x.trials)} trials a cell`}`);
  return [
    ["unit of sampling", "the trial; inputs of one trial are never pooled as independent"],
    ["share of trials", `${level} Clopper-Pearson (exact)`],
    ...(report.meta.sweeps.some((x) => x.stop) ? [STOPPED] : []),
    ...(report.cells.some((c) => c.basis === "enumerated") ? [["lists and logs", "enumerated, not sampled: counts without intervals or tests; trials that hit nothing of an arm are not injected, and in no share"] as [string, string]] : []),
    ...(report.cells.some((c) => c.basis === "proved") ? [["provably masked cells", "their rates are known: 0, not estimated from trials"] as [string, string]] : []),
    ["cells together", `mean weighted by the number of sites (values x bits) of each cell, ${level} stratified Wilson interval, square-and-add`],
    ["difference of arms", `${level} by square-and-add of the two arms\u2019 intervals (Newcombe); the pairing is left unused, which can only widen it where arms agree. McNemar\u2019s exact test of the same faults is shown with each cell. Arms that meet unlike faults are compared by this interval alone`],
    ["share of inputs", `clustered by trial, ${level} Student t`],
    ["accuracy", `mean over trials, ${level} percentile bootstrap over trials`],
    ["perplexity", `median over trials, ${level} order-statistic interval; no finite value counts as infinite`],
    ["stopping", rule.join("; ")],
    ["where it was computed", "all numbers come from the C program; this page only draws them"],
  ];
}

function provenance(report: Report): [string, string][] {
  const { meta } = report;
  const models = meta.models.map((m, i): [string, string] => [
    meta.models.length > 1 ? `model ${i + 1}` : "model",
    `${m.path} (${m.type}, ${m.layers} layers, ${fmt.count(Number(m.values))} values), ${m.hash ?? "weights absent, no hash"}`,
  ]);
  const golden = meta.variants.map((v): [string, string] => [
    `fault-free ${meta.arms[v.arm]?.name ?? "?"}, guard ${v.guard}`,
    v.golden === null ? "not run yet" : `${meta.task.metric} ${v.golden.metric === null ? "none" : fmt.metric(meta, v.golden.metric)} over ${fmt.count(v.golden.answers)} answers, kernel ${v.golden.kernel}`,
  ]);
  const text = meta.task.kind === "language-model" ? `, window ${meta.task.window || "model"}, stride ${meta.task.stride || "window"}, recipe ${meta.task.recipe}` : "";
  return [
    ["campaign fingerprint", meta.campaign.fingerprint ?? "none: models or data were absent"],
    ["seed", meta.campaign.seed],
    ["arithmetic and drawing", meta.convention],
    ["program", `FlipSweep ${meta.version}`],
    ...models,
    ["data", `${meta.task.data}, ${meta.task.examples ? `first ${fmt.count(meta.task.examples)} inputs` : "all inputs"}${text}, ${meta.task.data_hash ?? "absent, no hash"}`],
    ...meta.arms.map((a): [string, string] => [
      `arm ${a.name}`,
      `${a.protect.length ? a.protect.join(" + ") : "no protection"}${meta.models.length > 1 ? `, model ${a.model + 1}` : ""}, ${fmt.digits(a.bits_per_value)} extra stored bits per value`,
    ]),
    ...golden,
  ];
}

function list(rows: [string, string][]): HTMLElement {
  return h("dl", {}, ...rows.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
}

function sweepTable(report: Report): HTMLElement {
  const rows = report.meta.sweeps.map((x) => [
    x.name, x.sites.replace(/\+/g, ", "), x.by.join(", ") || "whole", x.amounts.map((a) => fmt.amountShort(x.amount_kind, a)).join(", ") + ` (${x.amount_kind})`,
    x.kinds.join(", "), x.patterns.join(", "), x.bits.join(", "), x.guards.join(", "), fmt.count(x.trials),
  ]);
  return gridTable({ head: ["sweep", "sites", "cut by", "amounts", "kind", "pattern", "bits", "read guard", "trials a cell, at most"], rows }, "Sweeps");
}

export function methodCard(report: Report): HTMLElement {
  const { meta } = report;
  return h("section", { class: "card wide", id: "method", "aria-labelledby": "method-title" },
    h("header", {}, h("h2", { id: "method-title" }, "How was it measured?")),
    h("p", { class: "answer" }, `Every trial is a function of the campaign\u2019s fingerprint, its cell and its number; it can be run again on any machine.`),
    h("div", { class: "columns" },
      h("div", {}, h("h3", {}, "Words"), list(definitions(report))),
      h("div", {}, h("h3", {}, "Statistics"), list(statistics(report)))),
    h("h3", {}, "Provenance"), list(provenance(report)),
    h("h3", {}, "Sweeps"), sweepTable(report),
    h("h3", {}, "Check it"),
    command("Verify command", shell("flipsweep", "verify", "--rerun", "0.01", meta.store)),
    command("Export command", shell("flipsweep", "export", meta.store, "--csv", "out")),
    h("details", {}, h("summary", {}, "The campaign file, with every default"), h("pre", { tabindex: 0 }, meta.campaign_text)),
    h("details", {}, h("summary", {}, "The identity under the fingerprint"), h("pre", { tabindex: 0 }, meta.identity)));
}
