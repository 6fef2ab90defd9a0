/** Figure 3: where do flips hurt? Layer x component maps on one shared log colour scale. */
import type { Difference, Group, Paired, Report } from "./data";
import type { Drawing } from "./card";
import { measureRule } from "./fig_verdict";
import * as fmt from "./format";
import * as g from "./groups";
import * as mk from "./marks";
import { rove, s, tooltip } from "./dom";
import { gainColour, heatScale, ink, type Heat } from "./scales";
import { dark } from "./theme";

export const WHERE_QUESTION = "Where do flips hurt?";
export const WHERE_HOW =
  "This needs a sweep that goes place by place: \u201cby: [layer, component]\u201d under its site in the campaign file.";

/** What a map says about a place; kinds that must never look alike are kinds of their own. */
type Face =
  | { kind: "notrun" }
  | { kind: "certain" }
  | { kind: "zero"; high: number }
  | { kind: "rate"; value: number }
  | { kind: "equal" }
  | { kind: "hint"; base: number; arm: number }
  | { kind: "gain"; ratio: number; bound: boolean };

interface Place {
  group: Group | null;
  face: Face;
  words: string;
  column: string;
}
interface Row {
  label: string;
  free: boolean; // places without a layer: each names itself
  places: Place[];
}
interface Map_ {
  title: string;
  rows: Row[];
}

export function whereSweeps(report: Report): number[] {
  return g.unique(report.groups.filter((x) => x.scope === "place").map((x) => x.sweep));
}

const SHORT: Record<string, string> = {
  "attention.query": "query", "attention.key": "key", "attention.value": "value",
  "attention.output": "attn out", "attention.norm": "attn norm", "mlp.up": "mlp up",
  "mlp.down": "mlp down", "mlp.norm": "mlp norm", "embedding.token": "token",
  "embedding.position": "position", "embedding.segment": "segment", "embedding.norm": "emb norm",
  "final.norm": "final norm", "head.pooler": "pooler", "head.classifier": "classifier", "head.lm": "lm head",
};
const short = (place: string): string => SHORT[place] ?? place;
const isOutput = (place: string): boolean => place.startsWith("head") || place.startsWith("final");

function rateFace(x: Group | undefined): Face {
  if (x && fmt.certain(x)) return { kind: "certain" };
  if (!x || x.n === 0) return { kind: "notrun" };
  const r = x.rate[g.measure()];
  return r.k === 0 ? { kind: "zero", high: r.high } : { kind: "rate", value: r.value };
}

/** Without a trial in common the rates are all there is. */
function unpaired(base: Group, x: Group): Face {
  const [a, b] = [base.rate[g.measure()], x.rate[g.measure()]];
  if (b.k === 0) return { kind: "gain", ratio: a.value / b.high, bound: true };
  return a.k === 0 ? { kind: "gain", ratio: a.high / b.value, bound: true } : { kind: "gain", ratio: a.value / b.value, bound: false };
}

function gainFace(base: Group | undefined, x: Group | undefined): Face {
  if (base && x && fmt.certain(base) && fmt.certain(x)) return { kind: "certain" };
  if (!base || !x || base.n === 0 || x.n === 0) return { kind: "notrun" };
  const q = x.paired[g.measure()];
  switch (x.effect[g.measure()]) {
    case "fewer":
    case "more":
      return q.n === 0 ? unpaired(base, x) : { kind: "gain", ratio: q.times, bound: q.base === 0 || q.arm === 0 };
    case "hint-fewer":
    case "hint-more":
      return { kind: "hint", base: q.base, arm: q.arm };
    case "none":
      return { kind: "equal" };
    default:
      return { kind: "notrun" };
  }
}

function faceWords(face: Face): string {
  switch (face.kind) {
    case "gain": {
      const bound = face.bound ? "at least " : "";
      return face.ratio >= 1 ? `${bound}${fmt.times(face.ratio)} fewer` : `${bound}${fmt.times(1 / face.ratio)} more`;
    }
    case "hint": return "not enough to call it a difference";
    case "equal": return "no measurable difference";
    case "certain": return "provably masked in both arms";
    default: return "not run in both arms";
  }
}

function pairWords(q: Paired | undefined): string {
  return q && q.n > 0
    ? `; on the same ${fmt.count(q.n)} faults ${fmt.count(q.base)} against ${fmt.count(q.arm)} ` +
      `(${fmt.pairTest(q.p)}${Number.isNaN(q.p) ? "" : `, after Holm ${fmt.pValue(q.holm)}`})` : "";
}

function differenceWords(d: Difference | null, level: number): string {
  return d ? `difference ${fmt.points(d.value)} points (${level} % interval ${fmt.points(d.low)} to ${fmt.points(d.high)})` : "no comparison";
}

/** Rows from the output down to the embeddings, as the network is drawn: layer 0 low. */
function layout(groups: Group[], make: (layer: number, place: string) => Place): Row[] {
  const layers = g.unique(groups.map((x) => x.layer)).filter((l) => l >= 0).sort((a, b) => b - a);
  const columns = g.unique(groups.filter((x) => x.layer >= 0).map((x) => x.place));
  const free = g.unique(groups.filter((x) => x.layer < 0).map((x) => x.place));
  const row = (label: string, places: string[]): Row => ({ label, free: true, places: places.map((p) => make(-1, p)) });
  const out: Row[] = [];
  const above = free.filter(isOutput);
  const below = free.filter((p) => !isOutput(p));
  if (above.length) out.push(row(layers.length ? "out" : "", above));
  for (const layer of layers) {
    out.push({ label: String(layer), free: false, places: columns.map((c) => make(layer, c)) });
  }
  if (below.length) out.push(row(layers.length ? "in" : "", below));
  return out;
}

function placeName(layer: number, place: string): string {
  return layer < 0 ? place : `layer ${layer}, ${place}`;
}

function mapOf(report: Report, groups: Group[], arm: number, all: Group[]): Map_ {
  const name = g.armName(report, arm);
  const own = new Map(groups.filter((x) => x.arm === arm).map((x) => [`${x.layer}/${x.place}`, x]));
  const rows = layout(all, (layer, place) => {
    const x = own.get(`${layer}/${place}`);
    const words = `${name}, ${placeName(layer, place)}: ${x ? fmt.rateText(x.rate[g.measure()], x.n) : "not run"}` +
      (x && x.maskedSites > 0 ? `; ${fmt.maskedText(x)}` : "");
    return { group: x ?? null, face: rateFace(x), words, column: short(place) };
  });
  return { title: `${name}: % ${fmt.MEASURE_SHORT[g.measure()]}`, rows };
}

function gainMap(report: Report, groups: Group[], base: number, arm: number): Map_ {
  const key = (x: Group): string => `${x.layer}/${x.place}`;
  const a = new Map(groups.filter((x) => x.arm === base).map((x) => [key(x), x]));
  const b = new Map(groups.filter((x) => x.arm === arm).map((x) => [key(x), x]));
  const rows = layout(groups, (layer, place) => {
    const [xa, xb] = [a.get(`${layer}/${place}`), b.get(`${layer}/${place}`)];
    const face = gainFace(xa, xb);
    const open = xb ? g.openMean(report, xb, g.measure()) : "";
    const words = `${placeName(layer, place)}: ${faceWords(face)}${pairWords(xb?.paired[g.measure()])}; ` +
      `weighted ${differenceWords(xb?.difference[g.measure()] ?? null, report.meta.confidence)}${open && `: ${open}`}`;
    return { group: xb ?? null, face, words, column: short(place) };
  });
  return { title: `${g.armName(report, arm)}: times fewer`, rows };
}

function faceText(face: Face, narrow: boolean): string {
  switch (face.kind) {
    case "notrun":
    case "certain": return "";
    case "zero": return "0";
    case "equal": return "=";
    case "hint": return narrow ? `${face.base}:${face.arm}` : `${face.base} : ${face.arm}`;
    case "rate": {
      const p = face.value * 100;
      return p < 0.1 ? "<.1" : p < 10 ? p.toFixed(narrow && p >= 1 ? 0 : 1) : p.toFixed(0);
    }
    case "gain": {
      const v = face.ratio >= 1 ? face.ratio : 1 / face.ratio;
      const n = v >= 1000 ? "1000+" : fmt.digits(v, v < 10 ? 2 : 2);
      return `${face.bound ? ">" : ""}${n}${narrow ? "" : "\u00d7"}`;
    }
  }
}

/** Ground and ink of a face. Grey "0", hatching, dots and "=" each have their own. */
function look(face: Face, heat: Heat): { fill: string; ink: string; name: string } {
  switch (face.kind) {
    case "notrun": return { fill: "url(#hatch-where)", ink: "", name: "notrun" };
    case "certain": return { fill: "url(#dots-where)", ink: "", name: "certain-mark" };
    case "zero": { const c = dark() ? "#39414b" : "#e3e7eb"; return { fill: c, ink: ink(c), name: "zero" }; }
    case "hint":
    case "equal": { const c = dark() ? "#14181d" : "#ffffff"; return { fill: c, ink: ink(c), name: face.kind }; }
    case "rate": { const c = heat.colour(face.value); return { fill: c, ink: ink(c), name: "heat" }; }
    case "gain": { const c = gainColour(face.ratio); return { fill: c, ink: ink(c), name: "heat" }; }
  }
}

interface Box { x: number; y: number; w: number; h: number }

function drawPlace(place: Place, box: Box, heat: Heat, named: boolean): SVGGElement {
  const { fill, ink: colour, name } = look(place.face, heat);
  const narrow = box.w < 30;
  const node = s("g", { class: "place", role: "button", "aria-label": place.words },
    s("rect", { x: box.x.toFixed(1), y: box.y.toFixed(1), width: (box.w - 2).toFixed(1), height: box.h - 2, rx: 2, class: name, fill }));
  const words = faceText(place.face, narrow);
  const middle = box.x + box.w / 2 - 1;
  const ground = colour === "" ? null : colour;
  if (named) {
    const room = Math.max(2, Math.floor(box.w / 6.2));
    const label = place.column.length > room ? `${place.column.slice(0, room - 1)}.` : place.column;
    const t = mk.text(middle, box.y + 13, label, "place-name", "middle");
    if (ground) inked(t, ground);
    else t.classList.add(place.face.kind === "certain" ? "halo" : "muted");
    node.append(t);
  }
  if (words && box.w >= 14) {
    const t = mk.text(middle, box.y + (named ? 28 : box.h / 2 + 3), words, narrow ? "place-value tight" : "place-value", "middle");
    if (ground) inked(t, ground);
    node.append(t);
  }
  tooltip(node, place.words);
  return node;
}

/** Gives a text the ink that suits its ground, out of reach of the style sheet. */
function inked(t: SVGTextElement, colour: string): void {
  t.setAttribute("fill", colour);
  t.classList.add("inked");
}

const GUTTER = 26;

/** Draws one map; returns its height. */
function drawMap(svg: SVGSVGElement, map: Map_, at: Box, heat: Heat, open: (x: Group) => void): number {
  svg.append(mk.text(at.x + GUTTER, at.y + 12, map.title, "panel-title"));
  const grid = s("g", { role: "group", "aria-label": `${map.title}; arrow keys move, Enter opens` });
  const columns = map.rows.find((r) => !r.free)?.places ?? [];
  const slanted = columns.some((c) => mk.textWidth(c.column, 11) > (at.w - GUTTER) / columns.length);
  const width = at.w - GUTTER - (slanted ? 14 : 0); // room for the last slanted name
  const step = columns.length ? width / columns.length : width;
  let y = at.y + 24;
  if (columns.length) {
    const room = slanted ? 52 : 16;
    columns.forEach((c, i) => {
      const x = at.x + GUTTER + (i + 0.5) * step;
      const label = mk.text(x, y + room - 5, c.column, "tick", slanted ? "start" : "middle");
      if (slanted) label.setAttribute("transform", `rotate(-50 ${x.toFixed(1)} ${y + room - 5})`);
      svg.append(label);
    });
    y += room;
  }
  const marks: SVGGElement[] = [];
  const groups: (Group | null)[] = [];
  for (const row of map.rows) {
    const h = row.free ? 36 : 24;
    const per = row.free ? Math.min(row.places.length, Math.max(1, Math.floor(width / 54))) : row.places.length;
    const w = width / per;
    const lines = Math.ceil(row.places.length / per);
    svg.append(mk.text(at.x + GUTTER - 6, y + (h * lines) / 2 + 3, row.label, "tick", "end"));
    row.places.forEach((place, i) => {
      const box = { x: at.x + GUTTER + (i % per) * w, y: y + Math.floor(i / per) * h, w, h };
      const mark = drawPlace(place, box, heat, row.free);
      grid.append(mark);
      marks.push(mark);
      groups.push(place.group);
    });
    y += h * lines + (row.free ? 3 : 0);
  }
  svg.append(grid);
  rove(marks, columns.length || 1, (i) => groups[i] && open(groups[i]));
  return y - at.y;
}

function drawKey(svg: SVGSVGElement, heat: Heat, faces: Face[], x: number, y: number, width: number): number {
  const w = Math.min(260, width - 10);
  const n = 60;
  for (let i = 0; i < n; i++) {
    svg.append(s("rect", { x: (x + (i * w) / n).toFixed(2), y, width: (w / n + 0.6).toFixed(2), height: 10, fill: heat.colour(heat.low ** (1 - i / (n - 1))) }));
  }
  for (let e = Math.round(Math.log10(heat.low)); e <= 0; e++) {
    const at = x + w * (1 - e / Math.log10(heat.low));
    svg.append(mk.text(at, y + 24, fmt.percent(10 ** e), "tick", e === 0 ? "end" : at === x ? "start" : "middle"));
  }
  let at = x + w + 26;
  let top = y;
  if (at + 330 > x + width) { at = x; top = y + 38; }
  const sample = (face: Face, words: string): void => {
    const room = 44 + mk.textWidth(words);
    if (at > x && at + room > x + width) {
      at = x;
      top += 26;
    }
    const box = { x: at, y: top - 6, w: 26, h: 22 };
    const node = drawPlace({ group: null, face, words, column: "" }, box, heat, false);
    node.removeAttribute("role");
    node.setAttribute("aria-hidden", "true");
    svg.append(node, mk.text(at + 30, top + 9, words, "legend"));
    at += room;
  };
  sample({ kind: "zero", high: 0 }, "none seen");
  sample({ kind: "notrun" }, "not run");
  sample({ kind: "equal" }, "no measurable difference");
  const hint = faces.find((f) => f.kind === "hint");
  if (hint) sample(hint, "not enough to tell");
  if (faces.some((f) => f.kind === "certain")) sample({ kind: "certain" }, "provably masked");
  return Math.max(top + 26, y + 32) - y;
}

/** What protection does over all places together, then in how many of them by itself. */
function gain(report: Report, groups: Group[], arm: number): string {
  const m = g.measure();
  const other = groups.filter((x) => x.arm === arm && x.n > 0);
  const first = other[0];
  if (!first) return "";
  const whole = report.groups.find((x) => x.scope === "amount" && x.arm === arm && x.sweep === first.sweep &&
    x.amount === first.amount && x.guard === first.guard && x.kind === first.kind && x.bits === first.bits);
  const text = whole ? g.effectSentence(report, whole, m) : "";
  const better = other.filter((x) => x.effect[m] === "fewer").length;
  const worse = other.filter((x) => x.effect[m] === "more").length;
  const b = g.armName(report, arm);
  const adjusted = first.comparisons > 1 ? `, after Holm\u2019s adjustment for ${fmt.count(first.comparisons)} places` : "";
  if (better + worse > 0) return `${text} Taken one by one, measurably fewer with ${b} in ${better} of ${other.length} places${worse ? `, more in ${worse}` : ""}${adjusted}.`;
  return whole && (whole.effect[m] === "fewer" || whole.effect[m] === "more")
    ? `${text} No single place has enough trials to show it alone${adjusted}.`
    : `${text} With ${b} no measurable difference in any place by itself${adjusted}.`;
}

function answer(report: Report, groups: Group[], base: number, arm: number | null): string {
  const m = g.measure();
  const run = groups.filter((x) => x.arm === base && x.n > 0);
  if (run.length === 0) return `No place of this sweep has a trial yet.${g.unfinished(groups)}`;
  const worst = run.reduce((a, b) => (b.rate[m].value > a.rate[m].value ? b : a));
  const name = g.armName(report, base);
  let text: string;
  if (worst.rate[m].k === 0) {
    const high = Math.max(...run.map((x) => x.rate[m].high));
    text = `${name}: none seen in any of ${run.length} places; at most ${fmt.percent(high, 2)} in each.`;
  } else {
    const rival = run.filter((x) => x !== worst && x.rate[m].high >= worst.rate[m].low).length;
    text = `Highest rate in ${name}: ${placeName(worst.layer, worst.place)} with ${fmt.percent(worst.rate[m].value)} ` +
      `(${fmt.interval(worst.rate[m].low, worst.rate[m].high)})`;
    text += rival > 0 ? `; the intervals of ${rival} other places overlap it.` : ".";
  }
  if (arm !== null) text += gain(report, groups, arm);
  return text + g.unfinished(groups);
}

function table(report: Report, groups: Group[]): Drawing["table"] {
  const m = g.measure();
  const head = ["arm", "layer", "place", ...g.RATE_HEAD, "difference", "diff. low", "diff. high", ...g.PAIR_HEAD];
  const rows = groups.map((x) => {
    const d = x.difference[m];
    const span = d && x.n > 0 ? [fmt.points(d.value), fmt.points(d.low), fmt.points(d.high)] : ["", "", ""];
    return [g.armName(report, x.arm), x.layer < 0 ? "none" : String(x.layer), x.place, ...g.rateFields(x, m), ...span, ...g.pairFields(x, m)];
  });
  return { head, rows };
}

export function drawWhere(report: Report, width: number, open: (x: Group) => void): Drawing {
  const { meta } = report;
  const all = report.groups.filter((x) => x.scope === "place");
  const sweep = g.narrow(all, "w.sweep", "Sweep", (x) => meta.sweeps[x.sweep]!.name);
  const index = sweep.groups[0]!.sweep;
  const unit = meta.sweeps[index]!.amount_kind;
  const amount = g.narrow(sweep.groups, "w.amount", "Faults", g.byAmount, (v) => fmt.amount(unit, Number(v)), g.usualAmount(report, index, sweep.groups));
  const guard = g.narrow(amount.groups, "w.guard", "Read guard", g.byGuard);
  const fault = g.narrow(guard.groups, "w.kind", "Kind", g.byKind);
  const bits = g.narrow(fault.groups, "w.bits", "Bits", g.byBits, g.bitsLabel);
  const groups = bits.groups;
  const arms = g.unique(groups.map((x) => x.arm));
  const first = arms.includes(meta.base_arm) ? meta.base_arm : arms[0]!;
  const others = groups.filter((x) => x.arm !== first);
  const pick = g.narrow(others, "w.arm", "Arm", (x) => g.armName(report, x.arm), (v) => v, g.firstProtected(report, others));
  const arm = pick.groups[0]?.arm ?? null;
  const own = arm === null ? first : g.baseOf(report, arm);
  const base = arms.includes(own) ? own : first;
  const shown = groups.filter((x) => x.arm === base || x.arm === arm);
  const heat = heatScale(shown.filter((x) => x.n > 0).map((x) => x.rate[g.measure()].value));
  const maps = [mapOf(report, groups, base, groups)];
  if (arm !== null) maps.push(mapOf(report, groups, arm, groups), gainMap(report, shown, base, arm));
  const svg = s("svg", { role: "group", "aria-label": `${WHERE_QUESTION} Maps of layers and components.` }, mk.hatch("hatch-where"), mk.dots("dots-where"));
  const columns = Math.max(1, Math.min(maps.length, Math.floor(width / 300)));
  const gap = 22;
  const w = columns === 1 ? Math.min(width, 520) : (width - gap * (columns - 1)) / columns;
  let y = 4;
  for (let i = 0; i < maps.length; i += columns) {
    const heights = maps.slice(i, i + columns).map((map, j) => drawMap(svg, map, { x: j * (w + gap), y, w, h: 0 }, heat, open));
    y += Math.max(...heights) + 20;
  }
  const faces = maps.flatMap((map) => map.rows.flatMap((r) => r.places.map((p) => p.face)));
  y += drawKey(svg, heat, faces, GUTTER, y, width - GUTTER) + 4;
  svg.setAttribute("viewBox", `0 0 ${width} ${y}`);
  svg.setAttribute("width", String(width));
  return {
    answer: answer(report, shown, base, arm),
    controls: [sweep.control, amount.control, guard.control, fault.control, bits.control, pick.control],
    plot: svg,
    caption: `Each box is one place; each trial: ${fmt.amount(unit, Number(amount.value))} there. Layer 0 is at the bottom; what belongs to no layer lies below or above. ` +
      `One log colour scale for all maps. ${fmt.sentenceCase(g.intervalKind(report, shown))}. ${measureRule(report)}` +
      (arm === null ? "" : `${g.testKind(shown.filter((x) => x.arm === arm), "places of a map")} \u201cTimes fewer\u201d: the ratio of both arms\u2019 ` +
        `${shown.some((x) => g.unpaired(x, g.measure())) ? "shares, or of their counts on the same faults where they have any, where the interval or the test" : "counts on the same faults, where the test"} ` +
        "shows a difference; \u201c>\u201d: none seen in one arm, so at least so many times. \u201c=\u201d: neither the test, even unadjusted, nor the interval of the difference shows one; " +
        "\u201c5 : 0\u201d: the counts of both arms where only the unadjusted test or the interval does."),
    table: table(report, shown),
  };
}
