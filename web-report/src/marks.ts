/** Marks shared by the figures: an arm is a colour, a marker and a dash, never a colour alone. There
 * are six of each. From the seventh arm on they are put together anew, so that of 36 arms no two
 * share two of the three. */
import { s } from "./dom";
import type { Axis } from "./scales";

export const ARM_LOOKS = 6;
const DASHES = ["", "7 4", "2 4", "10 4 2 4", "12 3", "4 2 1 2"];

export function armClass(arm: number): string {
  return `arm arm${arm % ARM_LOOKS}`;
}

export function dash(i: number): string | null {
  return DASHES[(i + 2 * Math.floor(i / ARM_LOOKS)) % DASHES.length] || null;
}

function outline(look: number, r: number): string {
  const q = r * 1.2;
  const paths = [
    `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
    `M0,${-q}L${q},0L0,${q}L${-q},0Z`,
    `M${-r * 0.9},${-r * 0.9}H${r * 0.9}V${r * 0.9}H${-r * 0.9}Z`,
    `M0,${-q}L${q},${r}L${-q},${r}Z`,
    `M0,${q}L${q},${-r}L${-q},${-r}Z`,
    `M${-r},${-r / 3}H${-r / 3}V${-r}H${r / 3}V${-r / 3}H${r}V${r / 3}H${r / 3}V${r}H${-r / 3}V${r / 3}H${-r}Z`,
  ];
  return paths[(look + Math.floor(look / ARM_LOOKS)) % paths.length]!;
}

/** An arm's marker; hollow for "none seen". */
export function marker(arm: number, x: number, y: number, hollow: boolean, r = 4.5): SVGPathElement {
  return s("path", {
    d: outline(arm, r),
    transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`,
    class: hollow ? "mark hollow" : "mark",
  });
}

export function text(x: number, y: number, words: string, name = "", anchor = "start"): SVGTextElement {
  return s("text", { x: x.toFixed(1), y: y.toFixed(1), class: name || null, "text-anchor": anchor }, words);
}

export function line(x1: number, y1: number, x2: number, y2: number, name: string): SVGLineElement {
  const f = (v: number): string => v.toFixed(1);
  return s("line", { x1: f(x1), y1: f(y1), x2: f(x2), y2: f(y2), class: name });
}

/** Rough width of a text in pixels; figures leave slack. */
export function textWidth(words: string, size = 12): number {
  return words.length * size * 0.56;
}

/** The hatching that means "not run"; each figure needs its own id. */
export function hatch(id: string): SVGDefsElement {
  return s(
    "defs",
    {},
    s(
      "pattern",
      { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { width: 6, height: 6, class: "hatch-ground" }),
      s("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "hatch-line" }),
    ),
  );
}

/** The dots that mean "provably masked"; each figure needs its own id. */
export function dots(id: string): SVGDefsElement {
  return s(
    "defs",
    {},
    s(
      "pattern",
      { id, width: 5, height: 5, patternUnits: "userSpaceOnUse" },
      s("rect", { width: 5, height: 5, class: "hatch-ground" }),
      s("circle", { cx: 2.5, cy: 2.5, r: 0.9, class: "dot-fill" }),
    ),
  );
}

export interface LegendEntry {
  arm: number;
  dash: string | null;
  label: string;
  shape?: number; // of the marker, where it is not the arm's
  hollow?: boolean;
}

/** Draws a legend from the left, wrapping; returns its height. */
export function legend(into: SVGElement, entries: LegendEntry[], x0: number, width: number): number {
  let x = x0;
  let y = 12;
  for (const e of entries) {
    const room = Math.max(8, Math.floor((width - 40) / 7));
    const label = e.label.length > room ? `${e.label.slice(0, room - 1)}\u2026` : e.label;
    const w = 34 + textWidth(label) + 16;
    if (x > x0 && x + w > x0 + width) {
      x = x0;
      y += 19;
    }
    const stroke = s("line", {
      x1: x, y1: y - 4, x2: x + 26, y2: y - 4, class: "series", "stroke-dasharray": e.dash,
    });
    into.append(
      s("g", { class: armClass(e.arm) }, stroke, marker(e.shape ?? e.arm, x + 13, y - 4, e.hollow ?? false)),
      text(x + 32, y, label, "legend"),
    );
    x += w;
  }
  return y + 8;
}

export interface Frame {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Grid lines and labels of a y axis. */
export function yAxis(into: SVGElement, frame: Frame, axis: Axis, label: (v: number) => string): void {
  for (const t of axis.ticks) {
    const y = axis.at(t);
    if (y > frame.bottom + 0.5 || y < frame.top - 0.5) continue;
    into.append(line(frame.left, y, frame.right, y, "grid"), text(frame.left - 6, y + 4, label(t), "tick", "end"));
  }
}

/** Labels of an x axis, dropping those that would touch. */
export function xAxis(
  into: SVGElement, frame: Frame, axis: Axis, label: (v: number) => string, title: string,
): void {
  into.append(line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"));
  let last = -Infinity;
  for (const t of axis.ticks) {
    const x = axis.at(t);
    into.append(line(x, frame.bottom, x, frame.bottom + 4, "axis"));
    const half = textWidth(label(t), 12) / 2;
    if (x - half < last + 6) continue;
    into.append(text(x, frame.bottom + 17, label(t), "tick", "middle"));
    last = x + half;
  }
  into.append(text((frame.left + frame.right) / 2, frame.bottom + 36, title, "axis-title", "middle"));
}
