/** A card: the question, the answer, the choices, the picture, what a mark is, the numbers. */
import { button, h } from "./dom";
import { saveCsv, savePng, saveSvg, type Grid } from "./export";
import * as state from "./state";

export interface Drawing {
  answer: string;
  controls?: (HTMLElement | null)[];
  plot: Element | null;
  caption: string;
  table: Grid;
}

export interface Figure {
  id: string;
  question: string;
  keys: state.Key[]; // a change of these redraws
  draw(width: number): Drawing;
}

/** A scrollable table; the head is repeated in print. */
export function gridTable(grid: Grid, label: string, limit = 500): HTMLElement {
  const rows = grid.rows.slice(0, limit);
  const body = rows.map((r) =>
    h("tr", {}, ...r.map((v, i) => (i === 0 ? h("th", { scope: "row" }, v) : h("td", {}, v)))),
  );
  const more = grid.rows.length - rows.length;
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...grid.head.map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, ...body),
    ),
    more > 0 && h("p", { class: "caption" }, `${more} more rows are in the CSV.`),
  );
}

function tools(name: string, drawing: Drawing): HTMLElement {
  const box = h("div", { class: "tools" });
  const svg = drawing.plot;
  if (svg instanceof SVGSVGElement) {
    box.append(
      button("SVG", `Save ${name} as SVG`, () => saveSvg(name, svg)),
      button("PNG", `Save ${name} as PNG`, () => savePng(name, svg)),
    );
  }
  box.append(button("CSV", `Save ${name} as CSV`, () => saveCsv(name, drawing.table)));
  return box;
}

/** A line in place of a figure whose sweep the campaign does not have. */
export function missing(question: string, how: string): HTMLElement {
  return h("section", { class: "card missing" }, h("h2", {}, question), h("p", { class: "caption" }, how));
}

export class Card {
  readonly root: HTMLElement;
  private readonly body = h("div", {});
  private width = 0;
  private open = false;

  constructor(private readonly figure: Figure, wide: boolean) {
    const title = `${figure.id}-title`;
    this.root = h("section", { class: wide ? "card wide" : "card", id: figure.id, "aria-labelledby": title });
    this.root.append(this.body);
    state.listen((keys) => {
      if (figure.keys.some((k) => keys.has(k))) this.draw();
    });
    new ResizeObserver(() => {
      const width = Math.floor(this.body.clientWidth);
      if (width > 0 && Math.abs(width - this.width) > 1) {
        this.width = width;
        this.draw();
      }
    }).observe(this.root);
  }

  draw(): void {
    if (this.width === 0) return;
    const f = this.figure;
    const active = document.activeElement;
    const label = this.body.contains(active) ? active?.closest("label")?.textContent : undefined;
    const d = f.draw(this.width);
    const details = h("details", { open: this.open }, h("summary", {}, "The numbers as a table"));
    details.addEventListener("toggle", () => {
      this.open = details.open;
      if (details.open && details.children.length === 1) details.append(gridTable(d.table, f.question));
    });
    if (this.open) details.append(gridTable(d.table, f.question));
    const controls = (d.controls ?? []).filter((c) => c !== null);
    this.body.replaceChildren(
      h("header", {}, h("h2", { id: `${f.id}-title` }, f.question), tools(f.id, d)),
      h("p", { class: "answer" }, d.answer),
      ...(controls.length ? [h("div", { class: "controls" }, ...controls)] : []),
      ...(d.plot ? [h("div", { class: "plot" }, d.plot)] : []),
      h("p", { class: "caption" }, d.caption),
      details,
    );
    if (label !== undefined) {
      const again = [...this.body.querySelectorAll("label")].find((l) => l.textContent === label);
      again?.querySelector("select")?.focus();
    }
  }
}
