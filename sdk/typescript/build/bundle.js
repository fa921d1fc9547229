/** One script of the author's modules, this SDK and what a component exports. */

import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { decode, encode } from "@jridgewell/sourcemap-codec";
import * as esbuild from "esbuild";

import { BuildFailure } from "./failure.js";
import { refused } from "./refused.js";

/** @typedef {import("./project.js").Project} Project */

const SDK = fileURLToPath(new URL("..", import.meta.url));

/** Where the SDK's own code is: as sources, or as what is published. */
const RUNTIME = ["src/guest/entry.ts", "dist/guest/entry.js"].map((file) => path.join(SDK, file)).find(existsSync);

/** What the engine understands: QuickJS-NG 0.10 or later, by the names of esbuild. */
const TARGET = "es2024";

/**
 * The script of the component, with a source map in it for stacks.
 *
 * @param {Project} project
 * @returns {Promise<string>}
 */
export async function bundle(project) {
  const result = await run(project, { format: "esm", external: ["countersign:agent/*", "wasi:*"] });
  const { code, map } = outputs(result);
  return `${code}\nglobalThis.__countersignSourceMap = ${JSON.stringify(compact(project, JSON.parse(map)))};\n`;
}

/**
 * The same as a script that runs here, with `imports(name)` for what a host gives.
 *
 * @param {Project} project
 * @returns {Promise<{code: string, map: string}>}
 */
export async function bundleToDescribe(project) {
  const result = await run(project, {
    format: "iife",
    globalName: "component",
    plugins: [
      {
        name: "countersign-no-host",
        setup(build) {
          build.onResolve({ filter: /^(countersign:agent\/|wasi:)/ }, ({ path }) => ({ path, namespace: "no-host" }));
          build.onLoad({ filter: /.*/, namespace: "no-host" }, () => ({ contents: "module.exports = {};" }));
        },
      },
    ],
  });
  return outputs(result);
}

/**
 * @param {Project} project
 * @param {import("esbuild").BuildOptions} options
 */
async function run(project, { plugins = [], ...options }) {
  if (!RUNTIME) throw new BuildFailure(`the SDK in ${SDK} is not complete: install it again`);
  try {
    return await esbuild.build({
      entryPoints: [RUNTIME],
      absWorkingDir: project.folder,
      outfile: "component.js",
      bundle: true,
      write: false,
      sourcemap: "external",
      sourcesContent: false,
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["module", "import"],
      target: TARGET,
      charset: "utf8",
      // The name of an error's class is its code.
      keepNames: true,
      legalComments: "none",
      logLevel: "silent",
      plugins: [author(project), refused(), ...plugins],
      ...options,
    });
  } catch (error) {
    throw readable(error);
  }
}

/**
 * Puts the author's entry file in.
 *
 * @param {Project} project
 * @returns {import("esbuild").Plugin}
 */
function author(project) {
  return {
    name: "countersign-author",
    setup(build) {
      build.onResolve({ filter: /^countersign:author$/ }, () => ({ path: project.entry }));
    },
  };
}

/** @param {unknown} error */
function readable(error) {
  if (typeof error !== "object" || error === null || !("errors" in error)) return error;
  const messages = /** @type {import("esbuild").BuildFailure} */ (error).errors.map((message) => ({
    ...message,
    text: message.text.startsWith("Top-level await")
      ? "The top of a module runs when the component is built, and cannot wait"
      : message.text,
  }));
  const shown = esbuild.formatMessagesSync(messages, { kind: "error", color: process.stderr.isTTY });
  return new BuildFailure(`the project cannot be bundled\n\n${shown.join("").trimEnd()}`);
}

/** @param {import("esbuild").BuildResult} result */
function outputs(result) {
  const text = (/** @type {string} */ extension) => {
    const file = result.outputFiles?.find((file) => file.path.endsWith(extension));
    if (!file) throw new Error(`esbuild made no ${extension} file`);
    return file.text;
  };
  return { code: text(".js"), map: text(".js.map") };
}

/**
 * Of a source map, what it takes to say in a stack where the author's code was, and nothing else.
 *
 * @param {Project} project
 * @param {{sources: string[], mappings: string}} map
 */
function compact(project, map) {
  const isTheirs = map.sources.map((source) => isAuthors(path.resolve(project.folder, source)));
  const lines = decode(map.mappings).map((line) => {
    /** @type {typeof line} */
    const kept = [];
    for (const segment of line) {
      const theirs = segment.length > 1 && isTheirs[/** @type {number} */ (segment[1])];
      if (theirs)
        kept.push([
          segment[0],
          /** @type {number} */ (segment[1]),
          /** @type {number} */ (segment[2]),
          /** @type {number} */ (segment[3]),
        ]);
      else if (kept.length > 0 && kept.at(-1)?.length !== 1) kept.push([segment[0]]);
    }
    return kept;
  });
  const sources = map.sources.map((source, i) => (isTheirs[i] ? source : ""));
  return { sources, mappings: encode(lines) };
}

/**
 * Neither this SDK's nor a dependency's.
 *
 * @param {string} file
 */
function isAuthors(file) {
  if (file.split(path.sep).includes("node_modules")) return false;
  return !file.startsWith(path.join(SDK, "src")) && !file.startsWith(path.join(SDK, "dist"));
}
