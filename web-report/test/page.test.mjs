// The page in Chromium: no console message, no CSP violation, no request beyond the file, no axe
// violation in light and dark, no sideways scroll on a phone, a keyboard path to every cell.
// FLIPSWEEP_CHROMIUM names the browser, FLIPSWEEP_PAGES a folder of pages written by make_page,
// FLIPSWEEP_TEST is "short" or "long".
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { CAMPAIGNS, page as invent } from "./campaigns.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const long = process.env.FLIPSWEEP_TEST === "long";
const folder = mkdtempSync(join(tmpdir(), "flipsweep-page-"));
const written = process.env.FLIPSWEEP_PAGES;
let browser;

/** A page's file: one that C wrote, or an invented campaign. */
function file(name) {
  if (written && ["full", "part", "none"].includes(name)) return join(written, `${name}.html`);
  const path = join(folder, `${name}.html`);
  writeFileSync(path, invent(CAMPAIGNS[name]));
  return path;
}

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.FLIPSWEEP_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--disable-quic"],
  });
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a page and collects whatever it should not do. */
async function open(name, { width = 1200, theme = "light", hash = "", script = true } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: theme, javaScriptEnabled: script, acceptDownloads: true,
  });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (m) => faults.push(`console ${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => faults.push(`error: ${e.message}`));
  page.on("dialog", (d) => { faults.push(`dialog: ${d.message()}`); d.dismiss(); });
  page.on("request", (r) => {
    if (!/^(file|data|blob):/.test(r.url())) faults.push(`request: ${r.url()}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (e) => globalThis.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
  });
  await page.goto(`${pathToFileURL(file(name)).href}${hash}`);
  if (script) {
    await page.waitForFunction(() => document.documentElement.dataset.ready === "yes", null, { timeout: 20000 });
    await page.waitForFunction(() => [...document.querySelectorAll(".card[id=rates],.card[id=where],.card[id=bits]")].every((c) => c.querySelector("svg")));
  }
  const close = async () => {
    if (script) faults.push(...(await page.evaluate(() => globalThis.violations)));
    await context.close();
    assert.deepEqual(faults, []);
  };
  return { page, close };
}

async function sideways(page) {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= room, `the page is ${wide} px wide in ${room}`);
}

async function accessible(page) {
  // The page's policy allows no other script, so axe is evaluated by the debugger.
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const list = found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(" | ")}`);
  assert.deepEqual(list, []);
}

/** No text of the page is a leftover of missing data. */
async function sensible(page) {
  const text = await page.evaluate(() => [document.body.innerText, ...[...document.querySelectorAll("[aria-label]")].map((e) => e.getAttribute("aria-label"))].join("\n"));
  for (const word of ["NaN %", "undefined", "Infinity", "[object", "null"]) assert.ok(!text.includes(word), `the page says "${word}"`);
  const geometry = await page.evaluate(() => [...document.querySelectorAll("svg *")].flatMap((e) => [...e.attributes].map((a) => `${a.name}=${a.value}`)).filter((a) => /^(x|y|x1|x2|y1|y2|d|points|transform|width|height)=.*(NaN|Infinity|undefined)/.test(a)));
  assert.deepEqual(geometry.slice(0, 3), []);
}

/** What is worth minutes but not seconds. */
const longTest = long ? test : () => {};

const shapes = long
  ? [...(written ? ["full", "part", "none"] : []), ...Object.keys(CAMPAIGNS)]
  : [written ? "full" : "hostile", "quickstart"];
for (const name of shapes) {
  test(`${name}: reads sensibly, fits a phone, breaks no rule`, async () => {
    for (const theme of long ? ["light", "dark"] : [name === "quickstart" ? "dark" : "light"]) {
      const { page, close } = await open(name, { theme });
      await sensible(page);
      await accessible(page);
      await close();
    }
    for (const width of long ? [320, 390, 768] : [320]) {
      const { page, close } = await open(name, { width });
      await sideways(page);
      await close();
    }
  });
}

test("quickstart: light is accessible too, and with the drawer open", async () => {
  const { page, close } = await open("quickstart");
  await accessible(page);
  await page.locator("#where .place").first().click();
  await page.waitForSelector("dialog[open]");
  await accessible(page);
  await close();
});

test("every cell of a map is reached by keyboard, and Escape comes back", async () => {
  const { page, close } = await open("quickstart", { hash: "#w.bits=exponent" });
  const places = await page.locator("#where g.place[role=button]").count();
  assert.ok(places > 30);
  await page.locator("#where g.place[tabindex='0']").first().focus();
  const seen = new Set();
  for (let i = 0; i < places / 3; i++) {
    seen.add(await page.evaluate(() => document.activeElement.getAttribute("aria-label")));
    await page.keyboard.press("ArrowRight");
  }
  assert.equal(seen.size, Math.ceil(places / 3), "each step is another place");
  await page.keyboard.press("Home");
  const label = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  await page.keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  assert.match(await page.locator("#drawer-title").innerText(), /^where\//);
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog:not([open])", { state: "attached" });
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), label);
  await close();
});

test("the hash restores a choice, and a choice writes it", async () => {
  const { page, close } = await open("quickstart", { hash: "#theme=dark&measure=sdc&v.amount=0.1" });
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  assert.match(await page.locator(".verdict").innerText(), /silently wrong answer.*10 % of the values/s);
  await page.getByLabel("Theme").selectOption("light");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
  assert.match(page.url(), /theme=light/);
  await page.getByLabel("Count").selectOption("critical");
  assert.doesNotMatch(page.url(), /measure=/);
  assert.match(await page.locator(".verdict").innerText(), /critical trials/);
  await close();
});

longTest("damaged hashes do no harm", async () => {
  const { page, close } = await open("quickstart", { hash: "#v.amount=%E0%A4%A&cell=<b>&page=-1e9&tcell=x&__proto__=1&sort=%00" });
  await sensible(page);
  await close();
});

test("gates: an effect is claimed only where the interval excludes none", async () => {
  const expected = {
    same: /^No measurable difference between a and b/,
    "zero-events": /^No critical trials in either arm .* at most /,
    "zero-faults": /^Without faults all 50 trials of unprotected are masked/,
    quickstart: /^flipguard cuts critical trials from .*95 % interval/,
    "one-arm": /^With faults in 1 % of the values of all parameters, .* of unprotected\u2019s trials are critical/,
    empty: /^No trial of this point has finished yet\. The campaign is unfinished: 0 of /,
    unfinished: /The campaign is unfinished: /,
  };
  const names = long ? Object.keys(expected) : ["same", "zero-events", "unfinished"];
  for (const [name, words] of Object.entries(expected).filter(([n]) => names.includes(n))) {
    const { page, close } = await open(name);
    assert.match(await page.locator(".verdict").innerText(), words, name);
    await close();
  }
});

test("arms are compared on the same faults, and the test is named", async () => {
  const { page, close } = await open("quickstart", { hash: "#w.bits=exponent" });
  const paired = /With flipguard [\d,]+ of ([\d,]+) trials are critical, unprotected [\d,]+ of \1 on the same faults \(McNemar exact p < 0\.001, after Holm p < 0\.001\)/;
  assert.match(await page.locator("#where .answer").innerText(), paired);
  assert.match(await page.locator("#where .caption").first().innerText(), /McNemar.*38 places of a map \(Holm\)/s);
  assert.match(await page.locator("#bits .answer").innerText(), /There, with flipguard .* on the same faults \(McNemar exact p < 0\.001, after Holm p < 0\.001\)/);
  assert.match(await page.locator("#bits .caption").first().innerText(), /3 choices of bits \(Holm\)/);
  await close();
  const none = await open("zero-events");
  assert.match(await none.page.locator("#where .answer").innerText(), /McNemar exact p = 1\): no measurable difference\./);
  await none.close();
});

test("protection is compared within its format, and what meets unlike faults is not called paired", async () => {
  let { page, close } = await open("formats");
  assert.match(await page.locator(".verdict").innerText(), /^fp16ep cuts critical trials .*fp16 [\d,]+ of [\d,]+ on the same faults/);
  assert.match(await page.locator(".tiles").innerText(), /Clean accuracy, the cost of protection\n/i);
  const table = await page.locator("#verdict table").innerText();
  for (const [arm, rest] of [["bf16ep", /against bf16: .*McNemar/], ["int8scrub", /against int8: .*McNemar/], ["fp32ep", /against fp32: .*McNemar/], ["int8", /against fp32: .*unpaired, on unlike faults/], ["int4ep", /against fp32: .*unpaired/]]) {
    assert.match(table.split("\n").find((l) => l.startsWith(`${arm}\t`)), rest);
  }
  assert.match(await page.locator("#rates .answer").innerText(), /the first 4 of 9 arms/);
  assert.match(await page.locator("#bits .answer").innerText(), /5 more arms of this campaign are in the figure and the table only/);
  const looks = await page.evaluate(() => [...document.querySelectorAll("#rates svg > g.arm")].filter((e) => e.querySelector("line.series"))
    .map((e) => [e.getAttribute("class"), e.querySelector("line").getAttribute("stroke-dasharray"), e.querySelector("path").getAttribute("d")].join("|")));
  assert.equal(looks.length, 18);
  assert.equal(new Set(looks).size, looks.length);
  await close();
  ({ page, close } = await open("formats", { hash: "#v.arm=int4ep&w.arm=int8" }));
  assert.match(await page.locator(".verdict").innerText(), /The arms meet unlike faults: shares are compared unpaired\./);
  assert.match(await page.locator(".tiles").innerText(), /Clean accuracy, the cost of storing and protection\n/i);
  const line = await page.locator("#verdict > .caption").innerText();
  assert.match(line, /compared unpaired: the interval of their difference.*\(Newcombe\)/);
  assert.doesNotMatch(line, /McNemar/);
  assert.match(await page.locator("#where .answer").innerText(), / int8 less fp32, unpaired on unlike faults: .* points of critical trials \(95 % interval/);
  const caption = await page.locator("#where .caption").first().innerText();
  assert.match(caption, /unlike faults: their shares are compared unpaired, by the square-and-add interval \(Newcombe\)/);
  assert.doesNotMatch(caption, /McNemar/);
  await close();
});

test("a hostile name stays text", async () => {
  const { page, close } = await open("hostile");
  assert.equal(await page.locator("h1").innerText(), CAMPAIGNS.hostile.name.replace(/\s+/g, " "));
  assert.equal(await page.locator("main img, main script").count(), 0);
  await close();
});

test("none seen, not run and no difference never look alike", async () => {
  const { page, close } = await open("unfinished");
  const fills = await page.evaluate(() => Object.fromEntries(["zero", "notrun", "equal"].map((c) => {
    const e = document.querySelector(`#where rect.${c}`);
    return [c, e && `${e.getAttribute("fill")} ${getComputedStyle(e).strokeDasharray} ${e.parentNode.querySelector(".place-value")?.textContent ?? ""}`];
  })));
  assert.ok(fills.zero && fills.notrun && fills.equal, JSON.stringify(fills));
  assert.equal(new Set(Object.values(fills)).size, 3, JSON.stringify(fills));
  await close();
});

test("what is provably masked looks like nothing else, and says so", async () => {
  const { page, close } = await open("bit-30", { hash: "#w.bits=30" });
  const fills = await page.evaluate(() => Object.fromEntries(["zero", "notrun", "certain-mark"].map((c) => {
    const e = document.querySelector(`#where rect.${c}`);
    return [c, e && `${e.getAttribute("fill")} ${e.parentNode.querySelector(".place-value")?.textContent ?? ""}`];
  })));
  assert.ok(fills["certain-mark"] && fills.notrun && fills.zero, JSON.stringify(fills));
  assert.equal(new Set(Object.values(fills)).size, 3, JSON.stringify(fills));
  // Layer 3 has no trial, and under protection needs none: bit 30 is never read.
  assert.ok(await page.locator('#where g[aria-label^="flipguard, layer 3"][aria-label*="all its sites are provably masked"]').count() > 0);
  assert.match(await page.locator("#bits").innerText(), /provably masked/);
  const rows = page.locator("#cells tr.certain");
  assert.ok(await rows.count() > 0);
  assert.match(await rows.first().innerText(), /\ball sites\b/);
  await rows.first().locator("button").click();
  await page.waitForSelector("dialog[open]");
  assert.match(await page.locator("#drawer").innerText(), /all of 1,000 sites: 1,000 in bits that the protection replaces unread/);
  await accessible(page);
  await close();
});

test("arms say what they store and cost, and what of it is not known yet", async () => {
  let { page, close } = await open("quickstart");
  const text = await page.locator("#arms").innerText();
  assert.match(text, /flipguard, guard none keeps most beside its words: 12.5 % more, 36 bits for each value/);
  assert.match(text, /costs most: \u22120.8 points of accuracy against unprotected/);
  assert.match(text, /abababababababab/);
  assert.equal(await page.locator("#arms tbody tr").count(), 4);
  await close();
  ({ page, close } = await open("empty"));
  assert.match(await page.locator("#arms").innerText(), /not known yet in 2 arms/);
  await close();
  ({ page, close } = await open("one-arm"));
  assert.equal(await page.locator("#arms").count(), 0);
  await close();
});

test("text on coloured cells has a contrast of at least 4.5", async () => {
  for (const theme of long ? ["light", "dark"] : ["light"]) {
    const { page, close } = await open("language-model", { theme });
    const worst = await page.evaluate(() => {
      const light = (c) => {
        const v = (i) => { const x = parseInt(c.slice(i, i + 2), 16) / 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; };
        return 0.2126 * v(1) + 0.7152 * v(3) + 0.0722 * v(5);
      };
      const ratios = [...document.querySelectorAll("#where .place")].flatMap((p) => {
        const ground = p.querySelector("rect").getAttribute("fill");
        if (!ground.startsWith("#")) return [];
        return [...p.querySelectorAll("text")].map((t) => {
          const rgb = /(\d+), (\d+), (\d+)/.exec(getComputedStyle(t).fill).slice(1).map((v) => Number(v).toString(16).padStart(2, "0")).join("");
          const [a, b] = [light(`#${rgb}`), light(ground)].sort((x, y) => y - x);
          return (a + 0.05) / (b + 0.05);
        });
      });
      return Math.min(...ratios);
    });
    assert.ok(worst >= 4.5, `${theme}: ${worst}`);
    await close();
  }
});

test("SVG, PNG and CSV are saved within the policy", async () => {
  const { page, close } = await open("quickstart");
  for (const kind of ["SVG", "PNG", "CSV"]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `Save rates as ${kind}` }).click()]);
    const bytes = readFileSync(await download.path());
    if (kind === "SVG") assert.match(bytes.toString(), /^<svg[^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    if (kind === "PNG") assert.equal(bytes.subarray(1, 4).toString(), "PNG");
    if (kind === "CSV") assert.equal(bytes.toString().split("\r\n").length, 1 + 16 + 1);
  }
  await close();
});

longTest("without script there is a table", async () => {
  const { page, close } = await open(written ? "full" : "quickstart", { script: false });
  assert.ok(await page.locator("noscript table, main table").first().isVisible());
  await close();
});

longTest("print has no controls", async () => {
  const { page, close } = await open("quickstart");
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.locator(".tools").first().isVisible(), false);
  assert.equal(await page.locator("#rates svg").first().isVisible(), true);
  await close();
});
