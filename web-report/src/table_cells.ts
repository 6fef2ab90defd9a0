/** Every cell with its counts, rates and intervals. */
import type { Report } from "./data";
import { button, h } from "./dom";
import { saveCsv, type Grid } from "./export";
import * as fmt from "./format";
import { armName } from "./groups";
import * as state from "./state";

const SHOWN = 50;

function grid(report: Report): Grid {
  const { meta } = report;
  return {
    head: ["cell", "arm", "trials", "planned", "provably masked", "critical", "critical rate", "low", "high", ...meta.outcomes, "metric", "low", "high"],
    rows: report.cells.map((c) => {
      const m = meta.task.metric === "perplexity" ? { mean: c.median.value, low: c.median.low, high: c.median.high } : c.metric;
      const share = (v: number): string => (c.n ? fmt.percent(v) : "");
      const rate = (x: typeof c): string[] => (x.basis === "sampled" ? [share(x.critical.value), share(x.critical.low), share(x.critical.high)]
        : [x.basis === "proved" || x.injected > 0 ? fmt.percent(x.critical.value) : "", x.basis, ""]);
      const metric = (v: number): string => (c.n ? fmt.metric(meta, v) : "");
      return [c.id, armName(report, c.arm), fmt.count(c.n), fmt.count(c.planned), c.maskedSites === 0 ? "" : fmt.certain(c) ? "all sites" : `${fmt.percent(c.maskedSites / c.sites)} of sites`,
        fmt.count(c.critical.k), ...rate(c), ...c.outcomes.map(fmt.count),
        metric(m.mean), ...(c.metricEqual > 0 ? [`all ${fmt.count(c.metricEqual)} equal`, ""] : c.basis === "sampled" ? [metric(m.low), metric(m.high)] : [c.n ? c.basis : "", ""])];
    }),
  };
}

export function cellsCard(report: Report): HTMLElement {
  const root = h("section", { class: "card wide", id: "cells", "aria-labelledby": "cells-title" });
  const all = grid(report);
  const body = h("tbody", {});
  const add = (from: number): void => {
    for (const c of report.cells.slice(from, from + SHOWN)) {
      const [id, ...rest] = all.rows[c.index]!;
      body.append(h("tr", fmt.certain(c) ? { class: "certain" } : {},
        h("th", { scope: "row" }, button(id!, `Open cell ${id}`, () => state.set({ cell: c.id }), "link")),
        ...rest.map((v) => h("td", {}, v))));
    }
  };
  add(0);
  const more = button("Show more", "Show more cells", () => {
    add(body.children.length);
    if (body.children.length >= report.cells.length) more.remove();
  });
  const open = report.cells.filter((c) => !c.complete).length;
  const early = report.cells.filter((c) => c.stopped).length;
  const certain = report.cells.filter(fmt.certain).length;
  const partly = report.cells.filter((c) => c.maskedSites > 0).length - certain;
  root.append(
    h("header", {}, h("h2", { id: "cells-title" }, "What is the full table?"),
      h("div", { class: "tools" }, button("CSV", "Save all cells as CSV", () => saveCsv("cells", all)))),
    h("p", { class: "answer" },
      `${fmt.plural(report.cells.length, "cell")}; ${open ? `${fmt.count(open)} unfinished` : "all complete"}${early ? `; ${fmt.count(early)} stopped early by their rule` : ""}` +
      `${certain ? `; ${fmt.plural(certain, "cell", ["is", "are"])} provably masked` : ""}${partly ? `; ${fmt.count(partly)} in part` : ""}.`),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All cells" },
      h("table", {}, h("thead", {}, h("tr", {}, ...all.head.map((t) => h("th", { scope: "col" }, t)))), body)),
    ...(report.cells.length > SHOWN ? [more] : []),
    h("p", { class: "caption" },
      `Rates: share of trials with ${report.meta.confidence} % Clopper-Pearson intervals${report.meta.sweeps.some((x) => x.stop) ? "; critical under a stopping rule: at the higher confidence of each look" : ""}. ` +
      (report.meta.task.metric === "perplexity" ? "Metric: median perplexity with its order-statistic interval." : "Metric: mean accuracy with its bootstrap interval over trials.") +
      (report.cells.some((c) => c.basis === "enumerated") ? " Enumerated: the trials of a list or log are not sampled, so they have counts and no interval; those that hit nothing of an arm are not injected and in no share." : "") +
      (report.cells.some((c) => c.basis === "proved") ? " Proved: no fault of the cell can matter, so its rate is known and not estimated." : "") +
      (certain + partly ? " Provably masked: rows of embeddings that no input reads, and bits that a protection replaces unread. No fault there can matter, and a trial that hits nothing else costs no forward pass." : "")),
  );
  return root;
}
