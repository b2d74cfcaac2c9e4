// Bundles the page of examples/talking_video, which is built on the hooks, into the folder that its server embeds; with
// `--check` it only looks whether what is there is the same.

import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What the page loads at most, gzipped; most of it is React. */
const LIMIT = 96 * 1024;

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const page = join(root, "../../examples/talking_video/page");
const outfile = join(page, "bundle/app.js");
const check = process.argv.includes("--check");

const { outputFiles } = await build({
  entryPoints: [join(page, "app.tsx")],
  outfile,
  write: !check,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  // React is what this package is tested with.
  nodePaths: [join(root, "node_modules")],
  alias: {
    "@progress-rs/client/react": join(root, "src/react/index.ts"),
    "@progress-rs/client": join(root, "src/index.ts"),
  },
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "inline",
  logLevel: "error",
});

const found = await readFile(outfile).catch(() => null);
if (check && (found === null || !Buffer.from(outputFiles[0].contents).equals(found))) {
  console.error(`${outfile} is not what comes of the sources: npm run page`);
  process.exitCode = 1;
} else {
  const size = gzipSync(found, { level: 9 }).length;
  console.log(`app.js ${found.length} B, ${size} B gzipped`);
  if (size > LIMIT) {
    console.error(`more than ${LIMIT}`);
    process.exitCode = 1;
  }
}
