/** Table 9: was the campaign healthy? Who worked, what was delivered twice, what went wrong. */
import type { Report } from "./data";
import { gridTable } from "./card";
import { h } from "./dom";
import * as fmt from "./format";

function answer(report: Report): string {
  const p = report.meta.progress;
  const trouble: string[] = [];
  if (p.mismatches) trouble.push(`${fmt.plural(p.mismatches, "result")} differed from what was stored`);
  if (p.quarantined) trouble.push(fmt.plural(p.quarantined, "trial", ["is", "are"]) + " quarantined");
  const ends = ["timeout", "crash", "not-injected"].map((name) => {
    const i = report.meta.outcomes.indexOf(name);
    return [name, i < 0 ? 0 : report.cells.reduce((a, c) => a + (c.outcomes[i] ?? 0), 0)] as const;
  });
  for (const [name, n] of ends) if (n) trouble.push(`${fmt.plural(n, "trial")} ended in ${name}`);
  const done = `${fmt.count(p.done)} of ${fmt.count(p.planned)} planned trials are in`;
  if (trouble.length) return `Look at this: ${trouble.join("; ")}. ${done}.`;
  return `${p.complete ? "Yes" : "So far"}: ${done}, no result contradicted another, no trial was lost to a crash.`;
}

export function healthCard(report: Report, wide: boolean): HTMLElement {
  const { progress: p, health } = report.meta;
  const span = health.started_ms !== null && health.finished_ms !== null ? health.finished_ms - health.started_ms : null;
  const rows = health.workers.map((w) => [
    w.worker.slice(0, 8), w.host, fmt.count(w.accepted), fmt.count(w.deliveries), fmt.count(w.duplicates),
    fmt.count(w.mismatches), fmt.when(w.first_ms), fmt.duration(w.last_ms - w.first_ms),
  ]);
  const facts: [string, string][] = [
    ["results", span === null ? "none yet" : `${fmt.when(health.started_ms)} to ${fmt.when(health.finished_ms)}, ${fmt.duration(span)}`],
    ["workers", fmt.count(health.workers_total)],
    ["leases given again", fmt.count(p.retries)],
    ["equal results received twice", `${fmt.count(p.duplicates)}, counted once`],
    ["unequal results", `${fmt.count(p.mismatches)}, flagged and not counted`],
    ["quarantined trials", fmt.count(p.quarantined)],
  ];
  const root = h("section", { class: wide ? "card wide" : "card", id: "health", "aria-labelledby": "health-title" },
    h("header", {}, h("h2", { id: "health-title" }, "Was the campaign healthy?")),
    h("p", { class: "answer" }, answer(report)),
    h("dl", {}, ...facts.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)])));
  if (rows.length) {
    root.append(gridTable({ head: ["worker", "host", "accepted", "deliveries", "duplicates", "mismatches", "first", "busy for"], rows }, "Workers", 50));
  }
  if (health.quarantined.length) {
    root.append(h("h3", {}, "Quarantined"), gridTable({ head: ["trial", "cause"], rows: health.quarantined.map((q) => [q.trial, q.cause]) }, "Quarantined trials", 50));
  }
  if (health.events.length) {
    const note = health.events_total > health.events.length ? ` (the last ${fmt.count(health.events.length)} of ${fmt.count(health.events_total)})` : "";
    root.append(h("details", {}, h("summary", {}, `Journal${note}`),
      gridTable({ head: ["time", "event", "text"], rows: health.events.map((e) => [fmt.when(e.ms), e.kind, e.text]) }, "Journal")));
  }
  return root;
}
