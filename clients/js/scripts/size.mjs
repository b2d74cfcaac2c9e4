// Prints what a page loads, in bytes after minification and gzip, beside others that were bundled the same way.
// Fails where the core is above its limit.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const LIMIT = 6 * 1024;

const options = {
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  write: false,
  metafile: true,
  outdir: "out",
  chunkNames: "[name]-[hash]",
  logLevel: "error",
};

const gzipped = (contents) => gzipSync(contents, { level: 9 }).length;

/** Sizes of the entry with what it needs at once, and of each part that is loaded when it is needed. */
async function measure(entry) {
  const { outputFiles, metafile } = await build({ ...options, ...entry });
  const sizes = new Map(outputFiles.map(({ path, contents }) => [path.slice(path.indexOf("/out/") + 1), gzipped(contents)]));
  const closure = (name, seen = new Set()) => {
    if (seen.has(name)) return seen;
    seen.add(name);
    for (const { path, kind } of metafile.outputs[name].imports) if (kind === "import-statement") closure(path, seen);
    return seen;
  };
  const sum = (names) => [...names].reduce((total, name) => total + sizes.get(name), 0);
  const first = Object.keys(metafile.outputs).find((name) => metafile.outputs[name].entryPoint && !name.includes("-"));
  const core = closure(first);
  const parts = Object.entries(metafile.outputs)
    .filter(([name, { entryPoint }]) => entryPoint && !core.has(name))
    .map(([name, { entryPoint }]) => [entryPoint, sum([...closure(name)].filter((chunk) => !core.has(chunk)))]);
  return { core: sum(core), parts, all: sum(sizes.keys()) };
}

/** All in one file, as bundlers that do not split have it. */
async function whole(entry) {
  const { outputFiles } = await build({ ...options, splitting: false, ...entry });
  return gzipped(outputFiles[0].contents);
}

const stdin = (contents) => ({ stdin: { contents, resolveDir: process.cwd() } });
const row = (name, bytes) => console.log(`${name.padEnd(56)} ${String(bytes).padStart(7)}`);

const ours = { entryPoints: ["src/index.ts"] };
const { core, parts } = await measure(ours);
console.log("bytes, minified and gzipped");
row("@progress-rs/client: what a page imports", core);
for (const [name, bytes] of parts.sort(([, a], [, b]) => b - a)) row(`  + when needed: ${name.replace(/^src\//, "")}`, bytes);
row("@progress-rs/client: everything in one file", await whole(ours));
row("@microsoft/fetch-event-source", await whole(stdin('export { fetchEventSource } from "@microsoft/fetch-event-source";')));
row("socket.io-client", await whole(stdin('export { io } from "socket.io-client";')));

if (core > LIMIT) {
  console.error(`the core has ${core} bytes, more than ${LIMIT}`);
  process.exitCode = 1;
}
