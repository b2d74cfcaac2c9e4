// Bundles what pages take without a build of their own, into dist/embed: the client, the element and the
// dashboard, of which the latter two import the first. `node scripts/embed.mjs <dir>` copies it there as well,
// for a server to embed; with `--check` it only looks whether what is there is the same.

import { copyFile, cp, mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(root, "dist", "embed");

/** What a page loads at most, gzipped: so that nobody makes it larger without meaning to. */
const LIMIT = {
  "progress-client.js": 15 * 1024,
  "progress-view.js": 9 * 1024,
  "dashboard.js": 18 * 1024,
  "dashboard.css": 3 * 1024,
  "dashboard.html": 1024,
};

/** What a page loads for each of the two, in all. */
const PAGES = {
  element: ["progress-view.js", "progress-client.js"],
  dashboard: ["dashboard.html", "dashboard.css", "dashboard.js", "progress-client.js"],
};

const CLIENT = "./progress-client.js";
const options = { outdir: out, bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none" };

/** Leaves the client out of what is built on it: one page has one, whatever it is made of. */
const withoutClient = {
  name: "without-client",
  setup({ onResolve }) {
    // Its modules lie directly in src, those that import them a folder below.
    onResolve({ filter: /^\.\.\/[\w-]+\.js$/ }, () => ({ path: CLIENT, external: true }));
  },
};

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({ ...options, entryPoints: { "progress-client": join(root, "src/index.ts") } });
await build({
  ...options,
  entryPoints: {
    "progress-view": join(root, "src/element/index.ts"),
    dashboard: join(root, "src/dashboard/main.ts"),
  },
  plugins: [withoutClient],
});
await build({ entryPoints: [join(root, "src/dashboard/dashboard.css")], outdir: out, minify: true, target: "es2022" });
await copyFile(join(root, "src/dashboard/index.html"), join(out, "dashboard.html"));
// Fails if one of them imports of the client what it does not export.
await build({
  ...options,
  entryPoints: ["progress-view.js", "dashboard.js"].map((name) => join(out, name)),
  write: false,
  logOverride: { "import-is-undefined": "error" },
});

const sizes = new Map();
let failed = false;
for (const [name, limit] of Object.entries(LIMIT)) {
  const size = gzipSync(await readFile(join(out, name)), { level: 9 }).length;
  sizes.set(name, size);
  const over = size > limit;
  failed ||= over;
  console.log(`${name.padEnd(18)} ${String(size).padStart(6)} B gzipped${over ? `, more than ${limit}` : ""}`);
}
for (const [page, names] of Object.entries(PAGES)) {
  const sum = names.reduce((total, name) => total + sizes.get(name), 0);
  console.log(`${`${page} in all`.padEnd(18)} ${String(sum).padStart(6)} B gzipped`);
}
if (failed) process.exit(1);

const args = process.argv.slice(2);
const target = args.find((arg) => !arg.startsWith("--"));
if (target !== undefined && args.includes("--check")) {
  for (const name of Object.keys(LIMIT)) {
    const [made, found] = await Promise.all([out, target].map((dir) => readFile(join(dir, name)).catch(() => null)));
    if (found === null || !made.equals(found)) {
      console.error(`${join(target, name)} is not what comes of the sources: npm run embed -- ${target}`);
      process.exitCode = 1;
    }
  }
} else if (target !== undefined) {
  await cp(out, target, { recursive: true });
}
