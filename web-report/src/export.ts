/** A figure as SVG, 3x PNG or CSV, made in the page: nothing is fetched or sent. */
import { h, s } from "./dom";

export type Grid = { head: string[]; rows: string[][] };

const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity",
  "font-family", "font-size", "font-weight",
];

function save(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const a = h("a", { href: url, download: name });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A copy that looks the same without the page's style sheet. */
function standalone(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const from = [svg, ...svg.querySelectorAll<SVGElement>("*")];
  const to = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    const target = to[i]!;
    for (const name of STYLES) {
      const own = node.getAttribute(name);
      if (own?.startsWith("url(")) continue;
      const value = style.getPropertyValue(name);
      if (value) target.setAttribute(name, value);
    }
    for (const gone of ["tabindex", "role", "class"]) target.removeAttribute(gone);
  });
  const box = svg.viewBox.baseVal;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(box.width));
  copy.setAttribute("height", String(box.height));
  const ground = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
  copy.prepend(s("rect", { width: box.width, height: box.height, fill: ground }));
  return new XMLSerializer().serializeToString(copy);
}

export function saveSvg(name: string, svg: SVGSVGElement): void {
  save(`${name}.svg`, new Blob([standalone(svg)], { type: "image/svg+xml" }));
}

export function savePng(name: string, svg: SVGSVGElement): void {
  const image = new Image();
  image.onload = () => {
    const canvas = h("canvas", { width: image.width * 3, height: image.height * 3 });
    canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => blob && save(`${name}.png`, blob), "image/png");
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
}

/** RFC 4180; a text that a spreadsheet would run as a formula gets a leading apostrophe. */
export function csv(grid: Grid): string {
  const field = (v: string): string => {
    const safe = /^[=@\t\r]|^[+-](?![\d.])/.test(v) ? `'${v}` : v;
    return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  return [grid.head, ...grid.rows].map((r) => r.map(field).join(",")).join("\r\n") + "\r\n";
}

export function saveCsv(name: string, grid: Grid): void {
  save(`${name}.csv`, new Blob([csv(grid)], { type: "text/csv" }));
}
