// Invented campaigns in the form that the C side writes, for the tests of the page: many shapes,
// none of them real. Intervals are Wilson's, good enough to be drawn.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const OUTCOMES = ["masked", "benign", "sdc", "due", "timeout", "crash", "not-injected"];
const LAYERED = [
  "attention.query", "attention.key", "attention.value", "attention.output", "attention.norm",
  "mlp.up", "mlp.down", "mlp.norm",
];

/** A small reproducible generator (mulberry32). */
function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function wilson(k, n) {
  if (n === 0) return [0, 1];
  const z = 1.96;
  const p = k / n;
  const mid = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [k === 0 ? 0 : Math.max(0, mid - half), k === n ? 1 : Math.min(1, mid + half)];
}

class Table {
  constructor() {
    this.n = 0;
    this.cols = {};
  }
  add(row) {
    for (const [name, value] of Object.entries(row)) {
      const column = (this.cols[name] ??= []);
      const odd = typeof value === "number" && !Number.isFinite(value);
      column.push(odd ? null : value);
      if (odd || this.cols[`${name}_flag`]) {
        const flags = (this.cols[`${name}_flag`] ??= []);
        while (flags.length < this.n) flags.push(0);
        flags.push(!odd ? 0 : Number.isNaN(value) ? 1 : value > 0 ? 2 : 3);
      }
    }
    this.n++;
  }
}

function rate(name, k, n) {
  const [low, high] = wilson(k, n);
  return { [`${name}_k`]: k, [name]: n ? k / n : NaN, [`${name}_low`]: low, [`${name}_high`]: high };
}

/** How likely a fault of this cell is critical: a made-up model that behaves roughly like one. */
function harm(cell, shield, scale) {
  if (cell.amount === 0) return 0;
  const bit = /^\d+$/.test(cell.bits) ? Number(cell.bits) : null;
  const weight = bit === null ? { sign: 0.02, exponent: 0.2, mantissa: 0.0008 }[cell.bits] ?? 0.05
    : bit === 30 ? 0.55 : bit > 26 ? 0.12 : bit > 22 ? 0.03 : 0.0006;
  const place = cell.layer < 0 ? 0.6 : 1.4 - 0.08 * cell.layer + (cell.place.startsWith("mlp") ? 0.6 : 0);
  const dose = cell.unit === "count" ? cell.amount : cell.amount * 4e3;
  const guard = cell.guard === "none" ? 1 : 0.55;
  return scale * (1 - Math.exp(-weight * place * dose * guard * shield));
}

function sweepCells(spec, arms) {
  const out = [];
  spec.sweeps.forEach((sweep, index) => {
    const places = sweep.by?.includes("layer")
      ? [...Array(spec.layers).keys()].flatMap((layer) => LAYERED.map((place) => ({ layer, place })))
          .concat(["embedding.token", "embedding.position", "embedding.segment", "embedding.norm",
            "head.pooler", "head.classifier"].map((place) => ({ layer: -1, place })))
      : sweep.by ? ["embedding", "attention", "mlp", "layernorm", "head"].map((place) => ({ layer: -1, place }))
        : [{ layer: -1, place: "all" }];
    let pair = out.length;
    for (const guard of sweep.guards ?? ["none"]) {
      for (const amount of sweep.amounts) {
        for (const bits of sweep.bits ?? ["all"]) {
          for (const at of places) {
            arms.forEach((arm, a) => out.push({ sweep: index, arm: a, pair, guard, amount, bits, unit: sweep.unit, ...at }));
            pair++;
          }
        }
      }
    }
  });
  return out;
}

/** Provably masked sites of a cell's 1,000: bit 30 under protection, most rows of tokens. */
function maskedOf(cell) {
  if (cell.arm > 0 && cell.bits === "30") return 1000;
  return cell.place === "embedding.token" ? 970 : 0;
}

function maskedColumns(cell) {
  const masked = maskedOf(cell);
  return {
    masked_sites: masked, masked_segments: 0, masked_positions: 0, masked_token_rows: masked === 970 ? 970 : 0,
    masked_bits: masked === 1000 ? 1000 : 0, reads_known: 1,
  };
}

function armRow(spec, arm, i, guard, done) {
  const plain = spec.kind === "language-model" ? 24.1 : 0.91;
  const known = spec.golden !== null;
  const metric = arm.golden ?? plain;
  return {
    arm: arm.name, model: "models/bert-mini", protect: i && !arm.plain ? ["ep"] : [], guard, dtype: arm.dtype ?? "fp32", tuned: false, cells: 1, trials: done, values: 11171074,
    bits_per_value: 32 + 4 * i, redundant_bits_per_value: 4 * i, altered: known ? i * 1234 : null, metric_golden: known ? metric : null,
    loss_golden: 0.2, golden_checksum: "00".repeat(8), token_rows_read: 100, positions_read: 40,
    bounds_checksum: i ? "ab".repeat(8) : null, compared_with: i ? spec.arms[0].name : null, compared_dtype: i ? "fp32" : null,
    metric_change: i && known ? metric - (spec.arms[0].golden ?? plain) : null, loss_change: 0,
    faults: done, check_faults: i * done, corrected: i * 7, detected: i * 3, miscorrected: i,
  };
}

function runCell(cell, spec, rnd) {
  const arm = spec.arms[cell.arm];
  const sweep = spec.sweeps[cell.sweep];
  const p = harm(cell, arm.shield ?? 1, spec.scale ?? 1);
  const n = Math.floor(sweep.trials * (spec.done ? spec.done(cell, rnd) : 1));
  let critical = 0;
  for (let i = 0; i < n; i++) critical += rnd() < p ? 1 : 0;
  const due = Math.floor(critical * (cell.guard === "none" ? 0.3 : 0.05));
  const sdc = critical - due + Math.floor((n - critical) * p * 0.3);
  const benign = Math.floor((n - sdc - due) * (cell.amount === 0 ? 0 : 0.4));
  return { n, critical, ends: [n - sdc - due - benign, benign, sdc, due, 0, 0, 0] };
}

function metricOf(spec, golden, share) {
  if (spec.kind === "language-model") {
    const mean = share > 0.7 ? Infinity : golden * (1 + share * 60);
    return { value: mean, low: mean / 1.1, high: share > 0.5 ? Infinity : mean * 1.3 };
  }
  const v = golden - (golden - 0.5) * share;
  return { value: v, low: v - 0.01 - 0.02 * share, high: Math.min(1, v + 0.01 + 0.02 * share) };
}

function group(members, key, spec) {
  const n = members.reduce((a, m) => a + m.run.n, 0);
  const row = {
    ...key, sites: 1000 * members.length, masked_sites: members.reduce((a, m) => a + maskedOf(m.cell), 0), n, injected: n, basis: "sampled", planned: members.reduce((a, m) => a + spec.sweeps[m.cell.sweep].trials, 0),
    cell: members.length === 1 ? members[0].index : -1, cells: members.length, first: members[0].index,
  };
  const counts = {
    critical: members.reduce((a, m) => a + m.run.critical, 0),
    sdc: members.reduce((a, m) => a + m.run.ends[2], 0),
    due: members.reduce((a, m) => a + m.run.ends[3], 0),
  };
  for (const [name, k] of Object.entries(counts)) Object.assign(row, rate(name, k, n));
  return row;
}

/** Twice the tail of fair coins. */
function signTest(b, c) {
  let term = 0.5 ** (b + c);
  let sum = 0;
  for (let i = 0; i <= Math.min(b, c); i++) {
    sum += term;
    term *= (b + c - i) / (i + 1);
  }
  return Math.min(1, 2 * sum);
}

/** Whether an arm's words meet other faults than those of the arm that it is compared with. */
function unlike(spec, arm) {
  const own = spec.arms[arm];
  return (own.dtype ?? "fp32") !== (spec.arms[own.base ?? 0].dtype ?? "fp32");
}

/** The paired columns, as if no trial were critical in both arms; Bonferroni stands for Holm. */
function paired(m, base, row, comparisons, diff, apart) {
  const [a, b] = base && !apart ? [base[`${m}_k`], row[`${m}_k`]] : [0, 0];
  const n = base && !apart ? Math.min(base.n, row.n) : 0;
  const p = a + b > 1000 ? (a === b ? 1 : 1e-9) : signTest(a, b);
  const holm = Math.min(1, p * comparisons);
  const side = b < a ? "fewer" : "more";
  const effect = base && apart ? (diff[1] < 0 ? "fewer" : diff[0] > 0 ? "more" : "none") : n === 0 ? "unknown" : holm < 0.05 ? side : p < 0.05 ? `hint-${side}`
    : diff[1] < 0 ? "hint-fewer" : diff[0] > 0 ? "hint-more" : "none";
  const times = a + b === 0 ? NaN : b === 0 ? Math.max(1, a / 3.7) : a === 0 ? Math.min(1, 3.7 / b) : a / b;
  const columns = { n, base: a, arm: b, only_base: a, only_arm: b, p, holm, times };
  return {
    ...Object.fromEntries(Object.entries(columns).map(([k, v]) => [`${m}_pair_${k}`, v])),
    [`${m}_effect`]: effect, [`${m}_widest`]: row.cells > 1 ? row.first : -1,
  };
}

function groups(list, spec, table) {
  const make = (scope, bitsToo, placeToo) => {
    const found = new Map();
    for (const m of list) {
      const c = m.cell;
      const key = {
        scope, sweep: c.sweep, arm: c.arm, guard: c.guard, kind: "flip", amount: c.amount,
        bits: bitsToo ? c.bits : "", layer: placeToo ? c.layer : -1, place: placeToo ? c.place : "",
      };
      const id = JSON.stringify(key);
      if (!found.has(id)) found.set(id, { key, members: [] });
      found.get(id).members.push(m);
    }
    return [...found.values()].map(({ key, members }) => group(members, key, spec));
  };
  const many = (i) => (spec.sweeps[i].bits ?? ["all"]).length > 1;
  const rows = [...make("amount", false, false), ...make("amount", true, false).filter((r) => many(r.sweep)),
    ...make("place", false, true).filter((r) => spec.sweeps[r.sweep].by),
    ...make("place", true, true).filter((r) => spec.sweeps[r.sweep].by && many(r.sweep))];
  for (const row of rows) {
    const same = (r) => ["scope", "sweep", "guard", "amount", "bits", "layer", "place"].every((k) => r[k] === row[k]);
    const base = row.arm === 0 ? null : rows.find((r) => r.arm === (spec.arms[row.arm].base ?? 0) && same(r));
    const figure = (r) => same({ ...r, layer: row.layer, place: row.place, bits: row.scope === "place" ? r.bits : row.bits }) && r.arm === row.arm &&
      (row.scope === "place" || (r.bits === "") === (row.bits === ""));
    const comparisons = rows.filter(figure).length;
    const met = base && base.n && row.n;
    const extra = { has_difference: met ? 1 : 0, comparisons };
    for (const m of ["critical", "sdc", "due"]) {
      const [a, b] = [base ?? row, row];
      const d = b[m] - a[m];
      extra[`${m}_diff`] = d;
      extra[`${m}_diff_low`] = d - Math.hypot(b[m] - b[`${m}_low`], a[`${m}_high`] - a[m]);
      extra[`${m}_diff_high`] = d + Math.hypot(b[`${m}_high`] - b[m], a[m] - a[`${m}_low`]);
      Object.assign(extra, paired(m, met ? base : null, row, comparisons, [extra[`${m}_diff_low`], extra[`${m}_diff_high`]], unlike(spec, row.arm)));
    }
    table.add({ ...row, ...extra });
  }
}

function trials(list, spec, rnd, table) {
  for (const m of list) {
    const kept = Math.min(m.run.n, spec.keep ?? 3);
    for (let i = 0; i < kept; i++) {
      const bad = i < m.run.critical;
      const bit = /^\d+$/.test(m.cell.bits) ? Number(m.cell.bits) : bad ? 30 : Math.floor(rnd() * 23);
      const before = Math.floor(rnd() * 2 ** 23) + 0x3d000000;
      const after = (before ^ (1 << bit)) >>> 0;
      table.add({
        cell: m.index, trial: i * 7 + 1, outcome: bad ? 2 : 0, critical: bad ? 1 : 0, metric: bad ? 0.5 : 0.9,
        deviation: bad ? (rnd() < 0.2 ? Infinity : rnd() * 40) : rnd() * 1e-5, kl: bad ? NaN : 0, answers: 200,
        changed: bad ? 90 : 0, faults: m.cell.amount === 0 ? 0 : 1, tensor: m.cell.amount === 0 ? -1 : 0,
        element: Math.floor(rnd() * 65536), bit, before, after, value_before: before,
        value_after: (spec.arms[m.cell.arm].shield ?? 1) < 0.2 ? before : after,
      });
    }
  }
}

function meta(spec, list) {
  const planned = list.reduce((a, m) => a + spec.sweeps[m.cell.sweep].trials, 0);
  const done = list.reduce((a, m) => a + m.run.n, 0);
  const lm = spec.kind === "language-model";
  const guards = [...new Set(list.map((m) => m.cell.guard))];
  return {
    schema: 1, version: "0.1.0", convention: "flipsweep-1", store: `out/${spec.name}`,
    campaign: { name: spec.name, seed: "42", fingerprint: "5f".repeat(32) },
    task: {
      kind: spec.kind, metric: lm ? "perplexity" : "accuracy", data: "data/dev.tsv", data_hash: "ab".repeat(32),
      examples: lm ? 0 : 200, window: lm ? 256 : 0, stride: lm ? 256 : 0, recipe: "as-is",
    },
    critical: { accuracy_drop: 0.05, perplexity_ratio: 1.5 }, confidence: 95, base_arm: 0, layers: spec.layers,
    models: [{ path: "models/bert-mini", hash: "cd".repeat(32), type: lm ? "gpt2" : "bert", values: "11171074", layers: spec.layers }],
    arms: spec.arms.map((a, i) => ({ name: a.name, model: 0, dtype: a.dtype ?? "fp32", base: a.base ?? 0, protect: i && !a.plain ? ["ep"] : [], bits_per_value: 0 })),
    arm_rows: spec.arms.flatMap((a, i) => guards.map((guard) => armRow(spec, a, i, guard, done))),
    variants: spec.arms.flatMap((a, i) => guards.map((guard) => ({
      model: 0, arm: i, guard, golden: spec.golden === null ? null
        : { metric: a.golden ?? (lm ? 24.1 : 0.91), loss: 0.2, answers: 200, kernel: "avx2", host: "host" },
    }))),
    sweeps: spec.sweeps.map((s) => ({
      name: s.name, amount_kind: s.unit, by: s.by ?? [], amounts: s.amounts, bits: s.bits ?? ["all"],
      guards: s.guards ?? ["none"], kinds: s.kinds ?? ["flip"], patterns: s.patterns ?? ["element"], sites: s.sites ?? "all parameters", trials: s.trials, stop: s.stop ?? null,
    })),
    progress: { planned, done, complete: planned === done, duplicates: 3, mismatches: spec.mismatches ?? 0, quarantined: 0, retries: 1 },
    outcomes: OUTCOMES,
    health: {
      workers: done ? [{ worker: "5a1c", host: "node-1", deliveries: 12, accepted: done, duplicates: 3, mismatches: 0, first_ms: 1790000000000, last_ms: 1790000090000 }] : [],
      workers_total: done ? 1 : 0, started_ms: done ? 1790000000000 : null, finished_ms: done ? 1790000090000 : null,
      events: [{ ms: 1790000000000, kind: "start", text: "invented <b>event</b>" }], events_total: 1, quarantined: [],
    },
    sampled: { kept: 0, total: done },
    identity: "convention: flipsweep-1\nseed: 42\n", campaign_text: `campaign: ${spec.name}\nseed: 42\n`,
  };
}

/** Makes the three blocks of one invented campaign. */
export function data(spec) {
  const rnd = random(spec.seed ?? 1);
  const cells = new Table();
  const list = sweepCells(spec, spec.arms).map((cell, index) => ({ cell, index, run: runCell(cell, spec, rnd) }));
  const m = meta(spec, list);
  const guards = [...new Set(list.map((x) => x.cell.guard))];
  for (const { cell, run } of list) {
    const sweep = spec.sweeps[cell.sweep];
    const variant = cell.arm * guards.length + guards.indexOf(cell.guard);
    const golden = spec.arms[cell.arm].golden ?? (spec.kind === "language-model" ? 24.1 : 0.91);
    const metric = run.n ? metricOf(spec, golden, run.critical / run.n) : { value: NaN, low: NaN, high: NaN };
    const axes = `${cell.amount}/${cell.bits}/${cell.guard}/${cell.layer}/${cell.place}`;
    cells.add({
      id: `${sweep.name}/${spec.arms[cell.arm].name},at=${axes.replace(/\//g, "-")}`, sweep: cell.sweep, arm: cell.arm, pair: cell.pair,
      layer: cell.layer, place: cell.place, amount: cell.amount, kind: "flip", bits: cell.bits, guard: cell.guard, variant,
      sites: 1000, ...maskedColumns(cell), planned: sweep.trials, n: run.n, injected: run.n, basis: "sampled", complete: run.n === sweep.trials ? 1 : 0, stopped: 0,
      ...Object.fromEntries(OUTCOMES.map((o, i) => [`end_${o}`, run.ends[i]])),
      ...rate("critical", run.critical, run.n), ...rate("sdc", run.ends[2], run.n), ...rate("due", run.ends[3], run.n),
      ...rate("masked", run.ends[0], run.n), ...rate("sdc_inputs", run.ends[2], run.n),
      metric: metric.value, metric_low: metric.low, metric_high: metric.high,
      median: metric.value, median_low: metric.low, median_high: metric.high, q05: metric.low, q95: metric.high,
      nonfinite: 0, metric_equal: run.critical === 0 ? run.n : 0, inputs: run.n * 200, faults: run.n, check_faults: cell.arm ? run.n : 0, visible: run.n, corrected: 0, detected: 0, miscorrected: 0,
    });
  }
  const all = new Table();
  groups(list, spec, all);
  const pairs = new Table();
  for (const x of list) {
    const a = list.find((y) => y.cell.pair === x.cell.pair && y.cell.sweep === x.cell.sweep && y.cell.arm === (spec.arms[x.cell.arm].base ?? 0));
    if (x.cell.arm === 0 || unlike(spec, x.cell.arm) || !a || !x.run.n || !a.run.n) continue;
    pairs.add({
      a: a.index, b: x.index, n: x.run.n, both: 0, only_a: a.run.critical, only_b: x.run.critical,
      neither: x.run.n - a.run.critical - x.run.critical, p: 0.03, ratio: 0.4, ratio_low: 0.2, ratio_high: 0.8,
      metric: 0.02, metric_low: -0.01, metric_high: 0.05,
    });
  }
  if (pairs.n === 0) for (const c of "a b n both only_a only_b neither p ratio ratio_low ratio_high metric metric_low metric_high".split(" ")) pairs.cols[c] = [];
  const sampled = new Table();
  trials(list, spec, rnd, sampled);
  m.sampled.kept = sampled.n;
  if (sampled.n === 0) {
    for (const c of ("cell trial outcome critical metric deviation kl answers changed faults tensor element bit before " +
      "after value_before value_after").split(" ")) sampled.cols[c] = [];
  }
  return { meta: m, cells: { cells, groups: all, pairs }, trials: { trials: sampled, tensors: ["encoder.layer.0.output.dense.weight"] } };
}

function escape(text) {
  return text.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Fills the template's slots as the C side does. */
export function page(spec, template = readFileSync(join(here, "..", "dist", "template.html"), "utf8")) {
  const d = data(spec);
  const pack = (v) => gzipSync(JSON.stringify(v)).toString("base64");
  const html = (t) => t.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const slots = {
    TITLE: html(`${spec.name}: FlipSweep`), META: escape(JSON.stringify(d.meta)), CELLS: pack(d.cells), TRIALS: pack(d.trials),
    TABLES: `<table><caption>${html(spec.name)}</caption><tbody><tr><td>numbers</td></tr></tbody></table>`,
  };
  return template.replace(/@@FS:(\w+)@@/g, (_, name) => slots[name]);
}

const two = [{ name: "unprotected" }, { name: "flipguard", shield: 0.04, golden: 0.902 }];
const rates = { name: "rates", unit: "rate", amounts: [0.0001, 0.001, 0.01, 0.1], guards: ["none", "nonfinite-zero"], trials: 200 };
const where = {
  name: "where", unit: "count", amounts: [1], bits: ["sign", "exponent", "mantissa"], by: ["layer", "component"], trials: 400,
  stop: { half_width: 0.02, confidence: 0.95, at_most: 400 },
};
const base = { kind: "classification", layers: 4, arms: two, sweeps: [rates, where] };

/** Every shape that the page must read sensibly. */
export const CAMPAIGNS = {
  quickstart: { ...base, name: "quickstart" },
  "one-arm": { ...base, name: "one arm", arms: [{ name: "unprotected" }] },
  "three-arms": { ...base, name: "three arms", arms: [...two, { name: "mset", shield: 0.05 }], sweeps: [rates, { ...where, bits: ["all"] }] },
  "language-model": {
    ...base, name: "gpt2-wiki", kind: "language-model", layers: 12, arms: [{ name: "unprotected" }, { name: "ep", shield: 0.05, golden: 24.6 }],
    sweeps: [rates, { ...where, trials: 120 }],
  },
  hostile: {
    ...base, name: "</script><script>alert(1)</script><!-- " + "W".repeat(60),
    arms: [{ name: "<img src=x onerror=alert(1)>" }, { name: "\u202eevil & \"quoted\" =1+1", shield: 0.3 }],
  },
  unfinished: { ...base, name: "unfinished", done: (c, rnd) => (c.layer === 3 ? 0 : Math.floor(rnd() * 10) / 10) },
  empty: { ...base, name: "just started", done: () => 0, golden: null },
  "zero-events": { ...base, name: "zero events", scale: 0, sweeps: [rates, where] },
  "zero-faults": { ...base, name: "zero faults", sweeps: [{ name: "none", unit: "count", amounts: [0], trials: 50 }] },
  "single-bits": {
    ...base, name: "single bits", sweeps: [{ name: "bits", unit: "count", amounts: [1, 10], bits: [...Array(32).keys()].reverse().map(String), trials: 500, sites: "mlp" }],
  },
  "bit-30": { ...base, name: "bit 30", sweeps: [{ ...where, bits: ["30", "exponent"], trials: 100 }], done: (c) => (c.layer === 3 ? 0 : 1), scale: 0.1 },
  groups: { ...base, name: "groups", sweeps: [{ name: "groups", unit: "count", amounts: [1, 10, 100, 1000], by: ["group"], trials: 300 }] },
  formats: {
    ...base, name: "formats", layers: 1, sweeps: [rates, { ...where, bits: ["sign", "exponent"] }], arms: [
      { name: "fp32" }, { name: "fp16", dtype: "fp16", plain: true, shield: 0.5 }, { name: "fp16ep", dtype: "fp16", base: 1, shield: 0.02 },
      { name: "bf16", dtype: "bf16", plain: true }, { name: "bf16ep", dtype: "bf16", base: 3, shield: 0.05 }, { name: "fp32ep", shield: 0.04 },
      { name: "int8", dtype: "int8", plain: true, shield: 0.1 }, { name: "int8scrub", dtype: "int8", base: 6, shield: 0.01 },
      { name: "int4ep", dtype: "int4", shield: 0.02, golden: 0.87 },
    ],
  },
  same: { ...base, name: "no difference", arms: [{ name: "a" }, { name: "b" }] },
};
