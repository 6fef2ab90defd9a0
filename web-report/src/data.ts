/** What the C side wrote: types, decoding, look-ups. No statistic is computed here. */

export interface Golden {
  metric: number | null;
  loss: number | null;
  answers: number;
  kernel: string;
  host: string;
}
export interface Arm {
  name: string;
  model: number;
  dtype: string;
  base: number; // the arm that it is compared with
  protect: string[];
  bits_per_value: number;
}
/** An arm as one of its variants reads it: under one guard, in one storage format. */
export interface ArmRow {
  arm: string;
  protect: string[];
  guard: string;
  dtype: string;
  tuned: boolean;
  trials: number;
  values: number;
  bits_per_value: number;
  redundant_bits_per_value: number;
  altered: number | null;
  golden_finite: boolean | null; // of the fault-free run; null: not known yet
  metric_golden: number | null;
  bounds_checksum: string | null;
  compared_with: string | null;
  compared_dtype: string | null;
  metric_change: number | null;
  faults: number;
  check_faults: number;
  corrected: number;
  detected: number;
  miscorrected: number;
}
export interface Sweep {
  name: string;
  amount_kind: "count" | "rate" | "ber";
  by: string[];
  amounts: number[];
  bits: string[];
  guards: string[];
  kinds: string[];
  patterns: string[];
  sites: string;
  trials: number;
  stop: { half_width: number; confidence: number; at_most: number } | null;
}
export interface Worker {
  worker: string;
  host: string;
  deliveries: number;
  accepted: number;
  duplicates: number;
  mismatches: number;
  first_ms: number;
  last_ms: number;
}
export interface Meta {
  schema: number;
  version: string;
  convention: string;
  store: string;
  campaign: { name: string; seed: string; fingerprint: string | null };
  task: {
    kind: "classification" | "language-model";
    metric: "accuracy" | "perplexity";
    data: string;
    data_hash: string | null;
    examples: number;
    window: number;
    stride: number;
    recipe: string;
  };
  critical: { accuracy_drop: number; perplexity_ratio: number };
  confidence: number;
  base_arm: number;
  layers: number;
  models: { path: string; hash: string | null; type: string; values: string; layers: number }[];
  arms: Arm[];
  arm_rows: ArmRow[];
  variants: { model: number; arm: number; guard: string; golden: Golden | null }[];
  sweeps: Sweep[];
  progress: {
    planned: number;
    done: number;
    complete: boolean;
    duplicates: number;
    mismatches: number;
    quarantined: number;
    retries: number;
  };
  outcomes: string[];
  health: {
    workers: Worker[];
    workers_total: number;
    started_ms: number | null;
    finished_ms: number | null;
    events: { ms: number; kind: string; text: string }[];
    events_total: number;
    quarantined: { trial: string; cause: string }[];
  };
  sampled: { kept: number; total: number };
  identity: string;
  campaign_text: string;
}

export type Measure = "critical" | "sdc" | "due";
/** What rates rest on: trials drawn by chance, all trials of a list or log, or a proof. */
export type Basis = "sampled" | "enumerated" | "proved";
export interface Rate {
  k: number;
  n: number; // trials that it is a share of: those that were injected
  value: number;
  low: number; // of what is not sampled, the value itself
  high: number;
  basis: Basis;
}
export interface Difference {
  value: number;
  low: number;
  high: number;
}
export interface Cell {
  index: number;
  id: string;
  sweep: number;
  arm: number;
  pair: number;
  layer: number;
  place: string;
  amount: number;
  kind: string;
  bits: string;
  guard: string;
  variant: number;
  sites: number;
  maskedSites: number; // provably: no fault there can matter
  maskedSegments: number;
  maskedPositions: number;
  maskedTokenRows: number;
  maskedBits: number;
  planned: number;
  n: number;
  injected: number; // of these, all but those that hit nothing
  basis: Basis;
  complete: boolean;
  stopped: boolean;
  outcomes: number[];
  critical: Rate;
  sdc: Rate;
  due: Rate;
  masked: Rate;
  sdcInputs: Rate;
  metric: { mean: number; low: number; high: number };
  median: { value: number; low: number; high: number };
  q05: number;
  q95: number;
  nonfinite: number;
  metricEqual: number; // trials, if all have one finite metric; else 0
  inputs: number;
  faults: number;
  checkFaults: number; // in redundant bits
  visible: number;
  corrected: number;
  detected: number;
  miscorrected: number;
}
/** One end of the trials that both arms have: the same faults in the arm compared with and in this one; n is 0 where faults are unlike. */
export interface Paired {
  n: number;
  base: number;
  arm: number;
  onlyBase: number;
  onlyArm: number;
  p: number; // McNemar, exact
  holm: number; // adjusted for `comparisons`
  times: number; // how many times fewer; a limit where one arm has none
}
/** The gate: may a sentence speak of an effect? A hint does not outlive the adjustment. */
export type Effect = "fewer" | "more" | "hint-fewer" | "hint-more" | "none" | "unknown";
/** Cells taken together by the C side: `scope` says along which axis the page reads them. */
export interface Group {
  scope: "amount" | "bits" | "place";
  sweep: number;
  arm: number;
  guard: string;
  kind: string;
  amount: number;
  bits: string; // "" for all choices of the axis together
  layer: number; // -1: belongs to no layer
  place: string;
  cell: number; // the only cell, or -1
  cells: number;
  n: number;
  basis: Basis;
  planned: number;
  sites: number;
  maskedSites: number;
  rate: Record<Measure, Rate>;
  difference: Record<Measure, Difference | null>; // this arm less the one it is compared with
  paired: Record<Measure, Paired>;
  effect: Record<Measure, Effect>;
  comparisons: number; // that the paired test is adjusted for
  widest: Record<Measure, number>; // the cell that makes most of the interval's width, or -1
}
export interface Pair {
  a: number;
  b: number;
  n: number;
  both: number;
  onlyA: number;
  onlyB: number;
  neither: number;
  p: number;
  ratio: Difference;
  metric: Difference;
}
export interface Trial {
  cell: number;
  trial: number;
  outcome: number;
  critical: boolean;
  metric: number;
  deviation: number;
  kl: number;
  answers: number;
  changed: number;
  faults: number;
  tensor: string;
  element: number;
  bit: number;
  before: number;
  after: number;
  valueBefore: number;
  valueAfter: number;
}
export interface Report {
  meta: Meta;
  cells: Cell[];
  groups: Group[];
  pairs: Map<number, Pair>; // by cell b
  trials: Trial[];
}

type Column = (number | string | null)[];
type Table = { n: number; cols: Record<string, Column> };

const NONFINITE = [NaN, NaN, Infinity, -Infinity];

/** Columns by name; a null number is explained by the column NAME_flag (1 NaN, 2 Inf, 3 -Inf). */
class Reader {
  constructor(private readonly table: Table) {}
  get n(): number {
    return this.table.n;
  }
  private column(name: string): Column {
    const c = this.table.cols[name];
    if (!c || c.length !== this.table.n) throw new Error(`column ${name} is missing or short`);
    return c;
  }
  text(name: string): string[] {
    return this.column(name).map((v) => String(v ?? ""));
  }
  number(name: string): number[] {
    const flags = this.table.cols[`${name}_flag`];
    return this.column(name).map((v, i) =>
      typeof v === "number" ? v : (NONFINITE[Number(flags?.[i] ?? 1)] ?? NaN),
    );
  }
  rate(name: string): Rate[] {
    const k = this.number(`${name}_k`);
    const n = this.number("injected");
    const basis = this.text("basis") as Basis[];
    const v = this.number(name);
    const low = this.number(`${name}_low`);
    const high = this.number(`${name}_high`);
    return v.map((value, i) => {
      const limits = basis[i] === "sampled" ? { low: low[i]!, high: high[i]! } : { low: value, high: value };
      return { k: k[i]!, n: n[i]!, value, ...limits, basis: basis[i]! };
    });
  }
  span(name: string): Difference[] {
    const v = this.number(name);
    const low = this.number(`${name}_low`);
    const high = this.number(`${name}_high`);
    return v.map((value, i) => ({ value, low: low[i]!, high: high[i]! }));
  }
}

function readCells(table: Table, outcomes: string[]): Cell[] {
  const r = new Reader(table);
  const t = Object.fromEntries(["id", "place", "kind", "bits", "guard", "basis"].map((c) => [c, r.text(c)]));
  const names = (
    "sweep arm pair layer amount variant sites planned n injected complete stopped q05 q95 nonfinite " +
    "metric_equal inputs faults check_faults visible corrected detected miscorrected masked_sites " +
    "masked_segments masked_positions masked_token_rows masked_bits"
  ).split(" ");
  const v = Object.fromEntries(names.map((c) => [c, r.number(c)]));
  const ends = outcomes.map((o) => r.number(`end_${o}`));
  const [critical, sdc, due, masked] = [r.rate("critical"), r.rate("sdc"), r.rate("due"), r.rate("masked")];
  const sdcInputs = r.rate("sdc_inputs");
  const metric = r.span("metric");
  const median = r.span("median");
  return Array.from({ length: r.n }, (_, i) => {
    const s = (name: string): string => t[name]![i]!;
    const f = (name: string): number => v[name]![i]!;
    return {
      index: i,
      id: s("id"),
      place: s("place"),
      kind: s("kind"),
      bits: s("bits"),
      guard: s("guard"),
      sweep: f("sweep"),
      arm: f("arm"),
      pair: f("pair"),
      layer: f("layer"),
      amount: f("amount"),
      variant: f("variant"),
      sites: f("sites"),
      maskedSites: f("masked_sites"),
      maskedSegments: f("masked_segments"),
      maskedPositions: f("masked_positions"),
      maskedTokenRows: f("masked_token_rows"),
      maskedBits: f("masked_bits"),
      planned: f("planned"),
      n: f("n"),
      injected: f("injected"),
      basis: s("basis") as Basis,
      complete: f("complete") === 1,
      stopped: f("stopped") === 1,
      outcomes: ends.map((e) => e[i]!),
      critical: critical[i]!,
      sdc: sdc[i]!,
      due: due[i]!,
      masked: masked[i]!,
      sdcInputs: sdcInputs[i]!,
      metric: { mean: metric[i]!.value, low: metric[i]!.low, high: metric[i]!.high },
      median: median[i]!,
      q05: f("q05"),
      q95: f("q95"),
      nonfinite: f("nonfinite"),
      metricEqual: f("metric_equal"),
      inputs: f("inputs"),
      faults: f("faults"),
      checkFaults: f("check_faults"),
      visible: f("visible"),
      corrected: f("corrected"),
      detected: f("detected"),
      miscorrected: f("miscorrected"),
    };
  });
}

function readPaired(r: Reader, name: string): Paired[] {
  const of = (what: string): number[] => r.number(`${name}_pair_${what}`);
  const [n, base, arm, onlyBase, onlyArm] = [of("n"), of("base"), of("arm"), of("only_base"), of("only_arm")];
  const [p, holm, times] = [of("p"), of("holm"), of("times")];
  return n.map((v, i) => ({
    n: v, base: base[i]!, arm: arm[i]!, onlyBase: onlyBase[i]!, onlyArm: onlyArm[i]!,
    p: p[i]!, holm: holm[i]!, times: times[i]!,
  }));
}

function readGroups(table: Table): Group[] {
  const r = new Reader(table);
  const t = Object.fromEntries(
    ["scope", "place", "kind", "bits", "guard", "basis"].map((c) => [c, r.text(c)]),
  );
  const names = "sweep arm amount layer cell cells n planned sites masked_sites has_difference comparisons".split(" ");
  const v = Object.fromEntries(names.map((c) => [c, r.number(c)]));
  const measures: Measure[] = ["critical", "sdc", "due"];
  const rates = measures.map((m) => r.rate(m));
  const spans = measures.map((m) => r.span(`${m}_diff`));
  const paired = measures.map((m) => readPaired(r, m));
  const effects = measures.map((m) => r.text(`${m}_effect`) as Effect[]);
  const widest = measures.map((m) => r.number(`${m}_widest`));
  const each = <T>(columns: T[][], i: number): Record<Measure, T> =>
    ({ critical: columns[0]![i]!, sdc: columns[1]![i]!, due: columns[2]![i]! });
  return Array.from({ length: r.n }, (_, i) => {
    const known = v.has_difference![i] === 1;
    return {
      scope: t.scope![i] as Group["scope"],
      place: t.place![i]!,
      kind: t.kind![i]!,
      bits: t.bits![i]!,
      guard: t.guard![i]!,
      sweep: v.sweep![i]!,
      arm: v.arm![i]!,
      amount: v.amount![i]!,
      layer: v.layer![i]!,
      cell: v.cell![i]!,
      cells: v.cells![i]!,
      n: v.n![i]!,
      basis: t.basis![i] as Basis,
      planned: v.planned![i]!,
      sites: v.sites![i]!,
      maskedSites: v.masked_sites![i]!,
      rate: each(rates, i),
      paired: each(paired, i),
      effect: each(effects, i),
      widest: each(widest, i),
      comparisons: v.comparisons![i]!,
      difference: {
        critical: known ? spans[0]![i]! : null,
        sdc: known ? spans[1]![i]! : null,
        due: known ? spans[2]![i]! : null,
      },
    };
  });
}

function readPairs(table: Table): Map<number, Pair> {
  const r = new Reader(table);
  const names = "a b n both only_a only_b neither p".split(" ");
  const v = Object.fromEntries(names.map((c) => [c, r.number(c)]));
  const ratio = r.span("ratio");
  const metric = r.span("metric");
  const out = new Map<number, Pair>();
  for (let i = 0; i < r.n; i++) {
    out.set(v.b![i]!, {
      a: v.a![i]!,
      b: v.b![i]!,
      n: v.n![i]!,
      both: v.both![i]!,
      onlyA: v.only_a![i]!,
      onlyB: v.only_b![i]!,
      neither: v.neither![i]!,
      p: v.p![i]!,
      ratio: ratio[i]!,
      metric: metric[i]!,
    });
  }
  return out;
}

function readTrials(table: Table, tensors: string[]): Trial[] {
  const r = new Reader(table);
  const names = (
    "cell trial outcome critical metric deviation kl answers changed faults tensor element bit " +
    "before after value_before value_after"
  ).split(" ");
  const v = Object.fromEntries(names.map((c) => [c, r.number(c)]));
  return Array.from({ length: r.n }, (_, i) => ({
    cell: v.cell![i]!,
    trial: v.trial![i]!,
    outcome: v.outcome![i]!,
    critical: v.critical![i] === 1,
    metric: v.metric![i]!,
    deviation: v.deviation![i]!,
    kl: v.kl![i]!,
    answers: v.answers![i]!,
    changed: v.changed![i]!,
    faults: v.faults![i]!,
    tensor: tensors[v.tensor![i]!] ?? "",
    element: v.element![i]!,
    bit: v.bit![i]!,
    before: v.before![i]!,
    after: v.after![i]!,
    valueBefore: v.value_before![i]!,
    valueAfter: v.value_after![i]!,
  }));
}

async function unpack(id: string): Promise<unknown> {
  const text = document.getElementById(id)?.textContent?.trim() ?? "";
  if (text === "") throw new Error(`the page holds no ${id}`);
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** Reads the three blocks of the page. Throws with a reason if one is absent or damaged. */
export async function loadReport(): Promise<Report> {
  const meta = JSON.parse(document.getElementById("fs-meta")?.textContent ?? "") as Meta;
  if (meta.schema !== 1) throw new Error(`data schema ${meta.schema}, this page reads 1`);
  const c = (await unpack("fs-cells")) as { cells: Table; groups: Table; pairs: Table };
  const t = (await unpack("fs-trials")) as { trials: Table; tensors: string[] };
  return {
    meta,
    cells: readCells(c.cells, meta.outcomes),
    groups: readGroups(c.groups),
    pairs: readPairs(c.pairs),
    trials: readTrials(t.trials, t.tensors),
  };
}

/** @return the golden run that a cell is compared with. */
export function goldenOf(report: Report, variant: number): Golden | null {
  return report.meta.variants[variant]?.golden ?? null;
}
