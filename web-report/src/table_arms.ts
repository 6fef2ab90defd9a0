/** What each arm stores, how it does without faults, what its protections noticed. */
import type { ArmRow, Report } from "./data";
import { gridTable } from "./card";
import { button, h } from "./dom";
import { saveCsv, type Grid } from "./export";
import * as fmt from "./format";

/** The arm's name, with what tells its rows apart. */
function label(report: Report, row: ArmRow): string {
  const own = report.meta.arm_rows.filter((x) => x.arm === row.arm);
  const differ = (of: (x: ArmRow) => string): boolean => new Set(own.map(of)).size > 1;
  return [row.arm, differ((x) => x.guard) ? `guard ${row.guard}` : "", differ((x) => x.dtype) ? row.dtype : "", row.tuned ? "tuned" : ""]
    .filter((w) => w !== "").join(", ");
}

function change(report: Report, row: ArmRow): string {
  const d = row.metric_change;
  if (row.compared_with === null) return "";
  if (d === null) return "not known";
  if (report.meta.task.metric === "accuracy") return d === 0 ? "0" : `${fmt.points(d)} points`;
  return d > 0 ? `+${fmt.digits(d, 2)}` : fmt.digits(d, 2);
}

function grid(report: Report): Grid {
  const { meta } = report;
  const formats = meta.arm_rows.some((x) => x.dtype !== "fp32");
  return {
    head: ["arm", "protections", ...(formats ? ["format"] : []), "bits/value", `fault-free ${meta.task.metric}`, "change", "altered",
      "trials", "check faults", "corrected", "miscorrected", "detected", "bounds"],
    rows: meta.arm_rows.map((x) => [
      label(report, x), x.protect.join(" + ") || "none", ...(formats ? [x.dtype] : []), fmt.digits(x.bits_per_value, 5),
      x.metric_golden === null ? "not known" : fmt.metric(meta, x.metric_golden), change(report, x),
      x.altered === null ? "not known" : x.altered === 0 ? "0" : `${fmt.count(x.altered)} (${fmt.percent(x.altered / x.values)})`,
      fmt.count(x.trials), fmt.count(x.check_faults), fmt.count(x.corrected), fmt.count(x.miscorrected), fmt.count(x.detected),
      x.bounds_checksum ?? "",
    ]),
  };
}

function storage(report: Report): string {
  const rows = report.meta.arm_rows;
  const most = rows.reduce((a, b) => (b.redundant_bits_per_value > a.redundant_bits_per_value ? b : a));
  if (most.redundant_bits_per_value === 0) return "No arm stores a bit beside its values.";
  const share = most.redundant_bits_per_value / (most.bits_per_value - most.redundant_bits_per_value);
  return `Of all arms ${label(report, most)} keeps most beside its words: ${fmt.percent(share)} more, ${fmt.digits(most.bits_per_value, 5)} bits for each value.`;
}

function quality(report: Report): string {
  const { meta } = report;
  const compared = meta.arm_rows.filter((x) => x.compared_with !== null);
  if (compared.length === 0) return "";
  const known = compared.filter((x) => x.metric_change !== null);
  if (known.length < compared.length) return ` What they cost without faults is not known yet in ${fmt.plural(compared.length - known.length, "arm")}.`;
  const sign = meta.task.metric === "accuracy" ? -1 : 1; // which way is worse
  const worst = known.reduce((a, b) => (sign * b.metric_change! > sign * a.metric_change! ? b : a));
  if (sign * worst.metric_change! <= 0) return ` No arm has a worse fault-free ${meta.task.metric} than the same model without protection, on these inputs.`;
  return ` Without faults, ${label(report, worst)} costs most: ${change(report, worst)} of ${meta.task.metric} against ${worst.compared_with}, on these inputs.`;
}

function nonfinite(report: Report): string {
  return report.meta.arm_rows.filter((x) => x.golden_finite === false)
    .map((x) => `Arm ${label(report, x)}: its fault-free run has no finite answer, so its masked and critical shares mean nothing. `).join("");
}

/** Nothing for a campaign without protections whose fault-free runs are finite. */
export function armsCard(report: Report): HTMLElement[] {
  const rows = report.meta.arm_rows;
  if (rows.every((x) => x.protect.length === 0 && x.dtype === "fp32" && x.golden_finite !== false)) return [];
  const all = grid(report);
  return [h("section", { class: "card wide", id: "arms", "aria-labelledby": "arms-title" },
    h("header", {}, h("h2", { id: "arms-title" }, "What does protection cost?"),
      h("div", { class: "tools" }, button("CSV", "Save the arms as CSV", () => saveCsv("arms", all)))),
    h("p", { class: "answer" }, nonfinite(report) + storage(report) + quality(report)),
    gridTable(all, "Arms"),
    h("p", { class: "caption" },
      "Bits/value: stored, the mean over the model, redundancy included. Change: of the fault-free metric, against the same model without protection. " +
      "Altered: values read as others than in the file, because they were clipped, rounded or gave up bits. Check faults: drawn beside the words, in redundant bits and scales. Corrected and detected " +
      "are codewords, over all trials of the arm; miscorrected are units of codewords, each with something corrected and a value still read wrongly. Bounds: the hash of what the protection learnt of the model."))];
}
