// Bundles src/ into dist/template.html, one file that the C program fills and that needs nothing
// beside it. `--verify` builds in memory and fails if the committed file differs.
import { build, transform } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const BYTES_MAX = 200 * 1000;
const SLOTS = ["TITLE", "TABLES", "META", "CELLS", "TRIALS"].map((s) => `@@FS:${s}@@`);
const target = join(here, "dist", "template.html");

function hash(text) {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

async function script() {
  const result = await build({
    entryPoints: [join(here, "src", "main.ts")],
    absWorkingDir: here,
    bundle: true,
    minify: true,
    format: "iife",
    target: ["es2022"],
    charset: "ascii",
    legalComments: "none",
    write: false,
  });
  const text = result.outputFiles[0].text.trimEnd();
  if (/<\/script|<!--|<script/i.test(text)) throw new Error("the bundle would close its own script");
  if (text.includes("@@FS:")) throw new Error("the bundle contains a slot");
  return text;
}

async function style() {
  const source = readFileSync(join(here, "src", "style.css"), "utf8");
  const text = (await transform(source, { loader: "css", minify: true })).code.trimEnd();
  if (/<\/style/i.test(text)) throw new Error("the style sheet would close its own element");
  return text;
}

/** @return the whole template as text. */
export async function template() {
  const [js, css] = [await script(), await style()];
  const policy = [
    "default-src 'none'",
    `script-src ${hash(js)}`,
    `style-src ${hash(css)}`,
    "img-src data: blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
  // Functions, not strings: a replacement string would give "$&" in the bundle a meaning.
  const text = readFileSync(join(here, "src", "template.html"), "utf8")
    .replace("__CSP__", () => policy)
    .replace("__CSS__", () => css)
    .replace("__JS__", () => js);
  for (const slot of SLOTS) {
    if (text.split(slot).length !== 2) throw new Error(`${slot} must occur once`);
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > BYTES_MAX) throw new Error(`the template has ${bytes} bytes, at most ${BYTES_MAX}`);
  return text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await template();
  if (process.argv.includes("--verify")) {
    if (readFileSync(target, "utf8") !== text) {
      console.error("dist/template.html differs from its sources: run npm run build and commit it");
      process.exit(1);
    }
    console.log("dist/template.html is what its sources build");
  } else {
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    console.log(`dist/template.html: ${Buffer.byteLength(text)} bytes`);
  }
}
