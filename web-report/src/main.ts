/** The page: reads the data, lays out the cards, redraws on change of theme or choice. */
import { Card, missing, type Figure } from "./card";
import { loadReport, type Group, type Report } from "./data";
import { select } from "./dom";
import { openGroup, startDrawer } from "./drawer";
import { BITS_HOW, BITS_QUESTION, bitSweeps, drawBits } from "./fig_bits";
import { drawRates, RATES_HOW, RATES_QUESTION, rateSweeps } from "./fig_rates";
import { drawVerdict } from "./fig_verdict";
import { drawWhere, WHERE_HOW, WHERE_QUESTION, whereSweeps } from "./fig_where";
import * as fmt from "./format";
import * as state from "./state";
import { armsCard } from "./table_arms";
import { cellsCard } from "./table_cells";
import { healthCard } from "./table_health";
import { methodCard } from "./table_method";
import { trialsCard } from "./table_trials";
import { startTheme } from "./theme";

const VERDICT_KEYS: state.Key[] = ["measure", "v.sweep", "v.amount", "v.guard", "v.kind", "v.bits", "v.arm"];

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

function header(report: Report): void {
  const { meta } = report;
  element("name").textContent = meta.campaign.name;
  const parts = [
    meta.models.map((m) => m.path.split("/").filter(Boolean).pop() ?? m.path).join(", "),
    meta.task.kind === "classification" ? "classification" : "language model",
    meta.task.examples ? `${fmt.count(meta.task.examples)} inputs` : "all inputs",
    fmt.plural(meta.layers, "layer"),
    meta.health.finished_ms === null ? "" : fmt.when(meta.health.finished_ms).slice(0, 10),
    meta.campaign.fingerprint ? `fingerprint ${meta.campaign.fingerprint.slice(0, 12)}` : "",
  ];
  element("about").textContent = parts.filter((p) => p !== "").join(" \u00b7 ");
}

/** Choices that hold for the whole page. */
function filters(): void {
  const measure = select("Count", [["critical", "critical trials"], ["sdc", "silently wrong (SDC)"], ["due", "detected or NaN (DUE)"]],
    state.choose("measure", ["critical", "sdc", "due"]), (v) => state.set({ measure: v === "critical" ? "" : v }));
  const theme = select("Theme", [["auto", "auto"], ["light", "light"], ["dark", "dark"]],
    state.choose("theme", ["auto", "light", "dark"]), (v) => state.set({ theme: v === "auto" ? "" : v }));
  element("filters").replaceChildren(...[measure, theme].filter((c) => c !== null));
}

function verdict(report: Report): void {
  const root = element("verdict");
  const draw = (): void => {
    const label = root.contains(document.activeElement) ? document.activeElement?.closest("label")?.textContent : null;
    root.replaceChildren(...drawVerdict(report));
    const again = [...root.querySelectorAll("label")].find((l) => l.textContent === label);
    again?.querySelector("select")?.focus();
  };
  state.listen((keys) => VERDICT_KEYS.some((k) => keys.has(k)) && draw());
  draw();
}

function figures(report: Report): Card[] {
  const open = (x: Group): void => openGroup(report, x);
  const app = element("app");
  const cards: Card[] = [];
  const add = (there: boolean, figure: Figure, how: string, wide: boolean): void => {
    if (!there) {
      app.append(missing(figure.question, how));
      return;
    }
    const card = new Card(figure, wide);
    cards.push(card);
    app.append(card.root);
  };
  add(rateSweeps(report).length > 0, {
    id: "rates", question: RATES_QUESTION, keys: ["measure", "r.sweep", "r.kind", "r.bits"],
    draw: (w) => drawRates(report, w, open),
  }, RATES_HOW, true);
  add(whereSweeps(report).length > 0, {
    id: "where", question: WHERE_QUESTION, keys: ["measure", "w.sweep", "w.amount", "w.guard", "w.kind", "w.bits", "w.arm"],
    draw: (w) => drawWhere(report, w, open),
  }, WHERE_HOW, true);
  add(bitSweeps(report).length > 0, {
    id: "bits", question: BITS_QUESTION, keys: ["measure", "b.sweep", "b.amount", "b.guard", "b.kind"],
    draw: (w) => drawBits(report, w, open),
  }, BITS_HOW, false);
  return cards;
}

async function start(): Promise<void> {
  state.start();
  const report = await loadReport();
  header(report);
  filters();
  state.listen((keys) => (keys.has("measure") || keys.has("theme")) && restoreFilters());
  verdict(report);
  const cards = figures(report);
  element("app").append(...armsCard(report), healthCard(report, bitSweeps(report).length === 0), cellsCard(report), trialsCard(report), methodCard(report));
  startTheme(() => cards.forEach((c) => c.draw()));
  startDrawer(report);
  document.documentElement.dataset.ready = "yes";
}

function restoreFilters(): void {
  const label = document.activeElement?.closest("#filters label")?.textContent;
  filters();
  const again = [...element("filters").querySelectorAll("label")].find((l) => l.textContent === label);
  again?.querySelector("select")?.focus();
}

start().catch((e: unknown) => {
  const box = element("error");
  box.hidden = false;
  box.textContent = `This page could not be drawn: ${e instanceof Error ? e.message : String(e)}`;
  throw e;
});
