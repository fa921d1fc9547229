/** The module hooks of `countersign/register`. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { transform } from "esbuild";

/** What TypeScript writes for a file that is a `.ts` file here. */
const WRITTEN = /\.js$/;

/** @type {import("node:module").ResolveHook} */
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    const isRelative = specifier.startsWith(".") || specifier.startsWith("file:");
    if (!isRelative) throw error;
    if (WRITTEN.test(specifier)) return next(specifier.replace(WRITTEN, ".ts"), context);
    if (!/\.\w+$/.test(specifier)) return next(`${specifier}.ts`, context);
    throw error;
  }
}

/** @type {import("node:module").LoadHook} */
export async function load(url, context, next) {
  if (!url.startsWith("file:") || !/\.m?ts$/.test(new URL(url).pathname)) return next(url, context);
  const file = fileURLToPath(url);
  const { code } = await transform(await readFile(file, "utf8"), {
    loader: "ts",
    format: "esm",
    target: "es2024",
    keepNames: true,
    sourcemap: "inline",
    sourcefile: file,
  });
  return { format: "module", source: code, shortCircuit: true };
}
