/** Table 8: single trials, filtered, sorted and paged, each with its replay command. */
import type { Report, Trial } from "./data";
import { button, h, select } from "./dom";
import { saveCsv, type Grid } from "./export";
import { shell, trialId } from "./drawer";
import * as fmt from "./format";
import * as state from "./state";

const PAGE = 20;

type Sort = { name: string; of(t: Trial): number };
const SORTS: Sort[] = [
  { name: "harm", of: (t) => (t.critical ? 10 : 0) + t.outcome },
  { name: "deviation", of: (t) => (Number.isNaN(t.deviation) ? -1 : t.deviation) },
  { name: "answers changed", of: (t) => t.changed },
  { name: "trial", of: (t) => -t.trial },
];

function chosen(report: Report): Trial[] {
  const outcome = state.get("outcome");
  const cell = state.get("tcell");
  const keep = report.trials.filter((t) => {
    if (outcome === "critical" ? !t.critical : outcome !== "" && report.meta.outcomes[t.outcome] !== outcome) return false;
    return cell === "" || report.meta.sweeps[report.cells[t.cell]!.sweep]!.name === cell;
  });
  const sort = SORTS.find((x) => x.name === state.get("sort")) ?? SORTS[0]!;
  return keep.sort((a, b) => sort.of(b) - sort.of(a) || a.cell - b.cell || a.trial - b.trial);
}

function fault(t: Trial): string {
  if (t.tensor === "") return t.faults === 0 ? "none" : fmt.count(t.faults);
  const more = t.faults > 1 ? ` and ${fmt.count(t.faults - 1)} more` : "";
  return `${t.tensor}[${t.element}] bit ${t.bit}${more}`;
}

const HEAD = ["trial", "outcome", "metric", "answers changed", "deviation", "faults", "first stored word"];

function fields(report: Report, t: Trial): string[] {
  return [
    trialId(report, t),
    `${report.meta.outcomes[t.outcome] ?? "?"}${t.critical ? ", critical" : ""}`,
    fmt.metric(report.meta, t.metric),
    `${fmt.count(t.changed)} / ${fmt.count(t.answers)}`,
    fmt.digits(t.deviation),
    fault(t),
    t.tensor === "" ? "" : `${fmt.digits(fmt.float32(t.before), 3)} \u2192 ${fmt.digits(fmt.float32(t.after), 3)}`,
  ];
}

function grid(report: Report, trials: Trial[]): Grid {
  return {
    head: [...HEAD, "replay"],
    rows: trials.map((t) => [...fields(report, t), shell("flipsweep", "replay", report.meta.store, trialId(report, t))]),
  };
}

function pager(pages: number, page: number): HTMLElement {
  const go = (to: number) => () => state.set({ page: to === 0 ? "" : String(to) });
  const back = button("\u2190", "Previous page", go(Math.max(0, page - 1)));
  const on = button("\u2192", "Next page", go(Math.min(pages - 1, page + 1)));
  if (page === 0) back.setAttribute("disabled", "");
  if (page >= pages - 1) on.setAttribute("disabled", "");
  return h("div", { class: "controls" }, back, h("span", {}, `page ${fmt.count(page + 1)} of ${fmt.count(pages)}`), on);
}

export function trialsCard(report: Report): HTMLElement {
  const root = h("section", { class: "card wide", id: "trials", "aria-labelledby": "trials-title" });
  const draw = (): void => {
    const { kept, total } = report.meta.sampled;
    const list = chosen(report);
    const pages = Math.max(1, Math.ceil(list.length / PAGE));
    const page = Math.min(pages - 1, Math.max(0, Math.floor(Number(state.get("page")) || 0)));
    const rows = list.slice(page * PAGE, (page + 1) * PAGE).map((t) => {
      const [id, ...rest] = fields(report, t);
      return h("tr", {},
        h("th", { scope: "row" }, button(id!, `Open trial ${id}`, () => state.set({ cell: trialId(report, t) }), "link")),
        ...rest.map((v) => h("td", {}, v)));
    });
    const sweeps = report.meta.sweeps.map((x) => x.name);
    const ends = report.meta.outcomes.filter((_, i) => report.trials.some((t) => t.outcome === i));
    const controls = [
      select("Outcome", [["", "any"], ["critical", "critical"], ...ends.map((o): [string, string] => [o, o])], state.get("outcome"), (v) => state.set({ outcome: v, page: "" })),
      select("Sweep", [["", "all"], ...sweeps.map((x): [string, string] => [x, x])], state.get("tcell"), (v) => state.set({ tcell: v, page: "" })),
      select("Worst first by", SORTS.map((x) => [x.name, x.name]), state.get("sort") || SORTS[0]!.name, (v) => state.set({ sort: v, page: "" })),
    ].filter((c) => c !== null);
    const active = root.contains(document.activeElement) ? document.activeElement?.closest("label,button") : null;
    const label = active?.getAttribute("aria-label") ?? active?.textContent;
    root.replaceChildren(
      h("header", {}, h("h2", { id: "trials-title" }, "What happened in a single trial?"),
        h("div", { class: "tools" }, button("CSV", "Save the shown trials as CSV", () => saveCsv("trials", grid(report, list))))),
      h("p", { class: "answer" }, kept === total
        ? `All ${fmt.count(total)} trials are in this file; ${fmt.count(list.length)} match. Choose one for its bits and its replay command.`
        : `${fmt.count(kept)} of ${fmt.count(total)} trials are in this file: a random sample and the worst of every cell. ${fmt.count(list.length)} match. No number elsewhere on the page is taken from the sample.`),
      h("div", { class: "controls" }, ...controls),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Single trials" },
        h("table", {}, h("thead", {}, h("tr", {}, ...HEAD.map((t) => h("th", { scope: "col" }, t)))), h("tbody", {}, ...rows))),
      pager(pages, page),
    );
    if (label) {
      const again = [...root.querySelectorAll("label,button")].find((e) => (e.getAttribute("aria-label") ?? e.textContent) === label);
      const target = again instanceof HTMLLabelElement ? again.querySelector("select") : again;
      if (target instanceof HTMLElement) target.focus();
    }
  };
  state.listen((keys) => (["outcome", "tcell", "sort", "page"] as const).some((k) => keys.has(k)) && draw());
  draw();
  return root;
}
