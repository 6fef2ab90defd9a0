/** Elements. Everything from the campaign goes through textContent or an attribute, never HTML. */

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined>;

const SVG = "http://www.w3.org/2000/svg";

function fill<T extends Element>(node: T, attributes: Attributes, children: Child[]): T {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) node.append(child);
  return node;
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A labelled choice. One choice or none is no choice: nothing is shown. */
export function select(
  label: string,
  choices: [value: string, text: string][],
  value: string,
  change: (value: string) => void,
): HTMLElement | null {
  if (choices.length < 2) return null;
  const box = h("select", {}, ...choices.map(([v, t]) => h("option", { value: v }, t)));
  box.value = value;
  box.addEventListener("change", () => change(box.value));
  return h("label", { class: "choice" }, h("span", {}, label), box);
}

export function button(text: string, label: string, act: () => void, name = "small"): HTMLElement {
  const b = h("button", { type: "button", class: name, "aria-label": label }, text);
  b.addEventListener("click", act);
  return b;
}

/** One stop of the Tab key for a set of marks; arrow keys, Home and End move within it.
 * `columns` is the width of a grid, 1 for a list. Enter or space opens. */
export function rove(marks: SVGGElement[], columns: number, open: (i: number) => void): void {
  const move = (from: number, to: number): void => {
    if (to < 0 || to >= marks.length) return;
    marks[from]!.setAttribute("tabindex", "-1");
    marks[to]!.setAttribute("tabindex", "0");
    marks[to]!.focus();
  };
  marks.forEach((mark, i) => {
    mark.setAttribute("tabindex", i === 0 ? "0" : "-1");
    mark.addEventListener("click", () => open(i));
    mark.addEventListener("keydown", (e) => {
      const steps: Record<string, number> = {
        ArrowRight: i + 1,
        ArrowLeft: i - 1,
        ArrowDown: i + columns,
        ArrowUp: i - columns,
        Home: 0,
        End: marks.length - 1,
      };
      const to = steps[e.key];
      if (to !== undefined) move(i, to);
      else if (e.key === "Enter" || e.key === " ") open(i);
      else return;
      e.preventDefault();
    });
  });
}

const tip = h("div", { id: "tip", "aria-hidden": "true" });

/** Shows `text` beside a mark under the pointer or the focus; its aria-label says the same. */
export function tooltip(mark: Element, text: string): void {
  const show = (): void => {
    if (!tip.isConnected) document.body.append(tip);
    tip.textContent = text;
    tip.classList.add("on");
    const box = mark.getBoundingClientRect();
    const width = tip.offsetWidth;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), innerWidth - width - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above < 4 ? box.bottom + 8 : above) + scrollY}px`;
  };
  const hide = (): void => tip.classList.remove("on");
  mark.addEventListener("pointerenter", show);
  mark.addEventListener("pointerleave", hide);
  mark.addEventListener("focus", show);
  mark.addEventListener("blur", hide);
}
