/** Scales: amounts along x, rates and metrics along y, one log colour scale for maps. */
import { scaleLinear, scaleLog } from "d3-scale";
import { dark } from "./theme";

export interface Axis {
  at(v: number): number;
  ticks: number[];
  log: boolean;
}

/** Amounts from left to right: logarithmic where they span a factor of 5 or more; a zero gets a
 * place of its own at the left, since a logarithm has none for it. */
export function amountAxis(values: number[], left: number, right: number): Axis {
  const positive = values.filter((v) => v > 0);
  const low = Math.min(...positive);
  const high = Math.max(...positive);
  const zero = values.includes(0);
  if (positive.length === 0) return { at: () => (left + right) / 2, ticks: [0], log: false };
  const from = zero ? left + (right - left) * 0.18 : left;
  if (low === high) {
    const middle = zero ? right : (left + right) / 2;
    return { at: (v) => (v === 0 ? left : middle), ticks: values, log: false };
  }
  const scale = (high / low >= 5 ? scaleLog() : scaleLinear()).domain([low, high]).range([from, right]);
  return { at: (v) => (v === 0 ? left : scale(v)), ticks: values, log: high / low >= 5 };
}

function decades(low: number, high: number): number[] {
  const out: number[] = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) out.push(10 ** e);
  return out;
}

/** Every second, third ... of what is too many to label. */
function thin(ticks: number[]): number[] {
  const step = Math.ceil(ticks.length / 8);
  return ticks.filter((_, i) => i % step === 0);
}

/** Shares from 0 to 1, bottom to top: logarithmic where a seen rate is below 2 %. */
export function rateAxis(rates: number[], bounds: number[], bottom: number, top: number): Axis {
  const seen = rates.filter((v) => v > 0);
  const least = Math.min(...seen, ...(seen.length ? [] : bounds.filter((v) => v > 0)));
  if (seen.length > 0 && least < 0.02) {
    const floor = 10 ** Math.floor(Math.log10(least / 1.5));
    const scale = scaleLog().domain([floor, 1]).range([bottom, top]).clamp(true);
    return { at: (v) => scale(Math.max(v, floor)), ticks: thin(decades(floor, 1).reverse()).reverse(), log: true };
  }
  if (rates.length === 0) bounds = [1];
  const most = Math.max(...rates, ...bounds.filter(Number.isFinite), 0);
  const high = most > 0.5 ? 1 : Math.min(1, Math.max(most * 1.1, 0.01));
  const scale = scaleLinear().domain([0, high]).nice(5).range([bottom, top]).clamp(true);
  return { at: (v) => scale(v), ticks: scale.ticks(5), log: false };
}

/** A metric bottom to top; `log` for perplexities over more than a factor of 3. */
export function metricAxis(values: number[], log: boolean, bottom: number, top: number): Axis {
  const finite = values.filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  if (finite.length === 0) return { at: () => bottom, ticks: [], log: false };
  if (log && low > 0 && high / low > 3) {
    const scale = scaleLog().domain([low / 1.2, high * 1.2]).range([bottom, top]).clamp(true);
    const inside = (list: number[]): number[] => list.filter((v) => v >= low / 1.2 && v <= high * 1.2);
    const tens = inside(decades(low, high));
    const fine = inside(decades(low, high).flatMap((v) => [v, 2 * v, 5 * v]));
    const ticks = tens.length >= 3 ? tens : fine.length >= 2 ? fine : scale.ticks(3);
    return { at: (v) => scale(v), ticks: thin(ticks), log: true };
  }
  const pad = high > low ? (high - low) * 0.08 : Math.max(Math.abs(high) * 0.05, 0.01);
  const scale = scaleLinear().domain([low - pad, high + pad]).range([bottom, top]).clamp(true);
  return { at: (v) => scale(v), ticks: scale.ticks(5), log: false };
}

/* From least to most harm; monotone in lightness, so that it reads without hue. */
const RAMP_LIGHT = ["#fdf0c4", "#fbc56d", "#f58d4f", "#dd513f", "#ad2361", "#6c1a6e", "#2a0d4d"];
const RAMP_DARK = ["#2b1b4a", "#5b1e70", "#962767", "#cc4650", "#ef7d43", "#fbb954", "#fdf1b9"];

export interface Heat {
  low: number;
  colour(rate: number): string;
  ramp: string[];
}

/** One log colour scale for every map of a figure. */
export function heatScale(rates: number[]): Heat {
  const seen = rates.filter((v) => v > 0);
  const least = seen.length ? Math.min(...seen) : 0.01;
  const low = Math.min(0.1, 10 ** Math.floor(Math.log10(least)));
  const ramp = dark() ? RAMP_DARK : RAMP_LIGHT;
  const stops = ramp.map((_, i) => low ** (1 - i / (ramp.length - 1)));
  const scale = scaleLog<string>().domain(stops).range(ramp).clamp(true);
  return { low, ramp, colour: (rate) => hex(scale(Math.max(rate, low))) };
}

/** Better (blue) and worse (red) by a factor, for the map of differences. */
export function gainColour(ratio: number): string {
  const t = Math.min(1, Math.abs(Math.log(ratio)) / Math.log(100)) * 0.8 + 0.2;
  const away = dark() ? "#1d2733" : "#f2f6fa";
  const to = ratio >= 1 ? (dark() ? "#3aa6e8" : "#055a94") : dark() ? "#f2855b" : "#a8320b";
  return hex(scaleLinear<string>().domain([0, 1]).range([away, to])(t));
}

function hex(colour: string): string {
  const m = /(\d+), ?(\d+), ?(\d+)/.exec(colour);
  if (!m) return colour;
  return "#" + [m[1], m[2], m[3]].map((v) => Number(v).toString(16).padStart(2, "0")).join("");
}

function luminance(colour: string): number {
  const channel = (i: number): number => {
    const v = parseInt(colour.slice(i, i + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

/** Black or white, whichever contrasts more with the ground. */
export function ink(ground: string): string {
  const l = luminance(ground);
  return (l + 0.05) / 0.05 > 1.05 / (l + 0.05) ? "#000000" : "#ffffff";
}
