/** One selection state, kept in the URL's hash so that a link or a reload shows the same page. */

/** Page-wide keys, and per figure (v verdict, r rates, w where, b bits) its own choices. */
export const KEYS = [
  "theme", "measure", "cell", "outcome", "tcell", "sort", "page",
  "v.sweep", "v.amount", "v.guard", "v.kind", "v.bits", "v.arm",
  "r.sweep", "r.kind", "r.bits",
  "w.sweep", "w.amount", "w.guard", "w.kind", "w.bits", "w.arm",
  "b.sweep", "b.amount", "b.guard", "b.kind",
] as const;
export type Key = (typeof KEYS)[number];

const values = new Map<Key, string>();
const listeners = new Set<(keys: Set<Key>) => void>();

function parse(): Map<Key, string> {
  const out = new Map<Key, string>();
  for (const part of location.hash.slice(1).split("&")) {
    const at = part.indexOf("=");
    const key = part.slice(0, at) as Key;
    if (at < 1 || !KEYS.includes(key)) continue;
    try {
      out.set(key, decodeURIComponent(part.slice(at + 1)));
    } catch {
      // A damaged escape in a link is no reason to show nothing.
    }
  }
  return out;
}

function write(): void {
  const parts = KEYS.filter((k) => values.has(k)).map(
    (k) => `${k}=${encodeURIComponent(values.get(k)!)}`,
  );
  const hash = parts.length ? `#${parts.join("&")}` : "#";
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

export function get(key: Key): string {
  return values.get(key) ?? "";
}

/** Sets keys ("" clears one), writes the hash and tells whoever listens. */
export function set(changes: Partial<Record<Key, string>>): void {
  const changed = new Set<Key>();
  for (const [key, value] of Object.entries(changes) as [Key, string][]) {
    if (get(key) === value) continue;
    if (value === "") values.delete(key);
    else values.set(key, value);
    changed.add(key);
  }
  if (changed.size === 0) return;
  write();
  for (const f of listeners) f(changed);
}

export function listen(f: (keys: Set<Key>) => void): void {
  listeners.add(f);
}

/** Reads the hash now and whenever the reader edits it. */
export function start(): void {
  for (const [k, v] of parse()) values.set(k, v);
  addEventListener("hashchange", () => {
    const now = parse();
    const changed = new Set<Key>();
    for (const k of KEYS) {
      if ((now.get(k) ?? "") !== get(k)) changed.add(k);
    }
    values.clear();
    for (const [k, v] of now) values.set(k, v);
    if (changed.size) for (const f of listeners) f(changed);
  });
}

/** @return the wanted value if it is among the choices, else the first choice. */
export function choose(key: Key, choices: string[], fallback = choices[0] ?? ""): string {
  const wanted = get(key);
  return choices.includes(wanted) ? wanted : fallback;
}
