// node picture.mjs REPORT.html OUT.png: the README's picture, the top of a real campaign's page.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { statSync } from "node:fs";
import { chromium } from "playwright-core";

const [page_path, out] = process.argv.slice(2);
if (!out) throw new Error("usage: node picture.mjs REPORT.html OUT.png");
const browser = await chromium.launch({
  executablePath: process.env.FLIPSWEEP_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic"],
});
const page = await browser.newPage({ viewport: { width: 960, height: 900 }, colorScheme: "light" });
await page.goto(pathToFileURL(resolve(page_path)).href);
await page.waitForFunction(() => document.documentElement.dataset.ready === "yes");
await page.waitForFunction(() => [...document.querySelectorAll("#rates,#where,#bits")].every((c) => c.querySelector("svg")));
// Down to the end of the maps, as far as the page has them: the rest would not be read at this size.
await page.evaluate(() => document.querySelectorAll("details,.tools").forEach((e) => e.remove()));
const height = await page.evaluate(() => Math.max(...[...document.querySelectorAll("#verdict,#rates,#where")].map((e) => e.getBoundingClientRect().bottom)) + 16);
await page.screenshot({ path: out, fullPage: true, clip: { x: 0, y: 0, width: 960, height } });
await browser.close();
console.log(`${out}: ${statSync(out).size} bytes`);
