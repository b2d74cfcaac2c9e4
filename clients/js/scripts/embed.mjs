// Bundles what pages take without a build of their own, into dist/embed: the element, and the dashboard.
// `node scripts/embed.mjs <dir>` copies it there as well, for a server to embed.

import { copyFile, cp, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(root, "dist", "embed");

/** What a page loads at most, gzipped: so that nobody makes it larger without meaning to. */
const LIMIT = { "progress-view.js": 22 * 1024, "dashboard.js": 30 * 1024, "dashboard.css": 3 * 1024, "dashboard.html": 1024 };

await mkdir(out, { recursive: true });
await build({
  entryPoints: {
    "progress-view": join(root, "src/element/index.ts"),
    dashboard: join(root, "src/dashboard/main.ts"),
  },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
});
await build({ entryPoints: [join(root, "src/dashboard/dashboard.css")], outdir: out, minify: true, target: "es2022" });
await copyFile(join(root, "src/dashboard/index.html"), join(out, "dashboard.html"));

let failed = false;
let sum = 0;
for (const [name, limit] of Object.entries(LIMIT)) {
  const size = gzipSync(await readFile(join(out, name)), { level: 9 }).length;
  if (name.startsWith("dashboard")) sum += size;
  const over = size > limit;
  failed ||= over;
  console.log(`${name.padEnd(18)} ${String(size).padStart(6)} B gzipped${over ? `, more than ${limit}` : ""}`);
}
console.log(`${"dashboard in all".padEnd(18)} ${String(sum).padStart(6)} B gzipped`);
if (failed) process.exit(1);

const target = process.argv[2];
if (target !== undefined) await cp(out, target, { recursive: true });
