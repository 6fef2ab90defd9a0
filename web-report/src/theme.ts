/** Light and dark: the reader's choice, else the system's. */
import * as state from "./state";

const system = matchMedia("(prefers-color-scheme: dark)");

export function dark(): boolean {
  const wanted = state.get("theme");
  return wanted === "dark" || (wanted !== "light" && system.matches);
}

function apply(): void {
  document.documentElement.dataset.theme = dark() ? "dark" : "light";
}

/** Applies the theme now and on each change; `redraw` follows, for colours that are computed. */
export function startTheme(redraw: () => void): void {
  apply();
  system.addEventListener("change", () => {
    apply();
    redraw();
  });
  state.listen((keys) => {
    if (!keys.has("theme")) return;
    apply();
    redraw();
  });
}
