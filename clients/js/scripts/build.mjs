// Builds dist/: code by esbuild, split so that what is loaded late stays apart, and types by tsc.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
const entries = ["src/index.ts", "src/react/index.ts", "src/element/index.ts", "src/dashboard/index.ts"].filter((path) => existsSync(path));
await build({
  entryPoints: entries,
  outbase: "src",
  outdir: "dist",
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  sourcemap: true,
  chunkNames: "chunks/[name]-[hash]",
  external: ["react"],
});
copyFileSync("src/dashboard/dashboard.css", "dist/dashboard/dashboard.css");
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
