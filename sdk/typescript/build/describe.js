/** Loads the agent here, as the host will, to say what is wrong with it before a component is made. */

import path from "node:path";
import vm from "node:vm";

import { decode } from "@jridgewell/sourcemap-codec";

import { bundleToDescribe } from "./bundle.js";
import { BuildFailure } from "./failure.js";

/** How long the author's modules may take to load. */
const LOAD_MS_MAX = 10_000;

const FUNCTIONS_MAX = 256;
const MANIFEST_BYTES_MAX = 256 * 1024;

/** @typedef {{name: string, version: string, functions: {name: string}[]}} Manifest */

/**
 * What the agent says about itself.
 *
 * @param {import("./project.js").Project} project
 * @returns {Promise<Manifest>}
 */
export async function describe(project) {
  const { code, map } = await bundleToDescribe(project);
  const manifest = await withoutRejections(project, map, () => load(project, code, map));
  if (manifest.functions.length === 0) {
    throw new BuildFailure(
      `the agent ${manifest.name} has no functions: add one with \`.function("name", …)\` in ` +
        shown(project, project.entry),
    );
  }
  if (manifest.functions.length > FUNCTIONS_MAX)
    throw new BuildFailure(`an agent has at most ${FUNCTIONS_MAX} functions`);
  const bytes = Buffer.byteLength(JSON.stringify(manifest));
  if (bytes > MANIFEST_BYTES_MAX) {
    throw new BuildFailure(
      `the agent's schemas and descriptions are ${bytes} bytes; at most ${MANIFEST_BYTES_MAX} are taken`,
    );
  }
  return manifest;
}

/**
 * Refuses a promise that the author's modules reject while they are loaded: Node would end the build for it.
 *
 * @template T
 * @param {import("./project.js").Project} project
 * @param {string} map
 * @param {() => T} work
 * @returns {Promise<T>}
 */
async function withoutRejections(project, map, work) {
  /** @type {unknown[]} */
  const reasons = [];
  const note = (/** @type {unknown} */ reason) => void reasons.push(reason);
  process.on("unhandledRejection", note);
  try {
    const done = work();
    // Node tells of them before it comes to this.
    await new Promise((resolve) => void setImmediate(resolve));
    if (reasons.length > 0) throw new BuildFailure(explained(project, reasons[0], JSON.parse(map)));
    return done;
  } finally {
    process.off("unhandledRejection", note);
  }
}

/**
 * @param {import("./project.js").Project} project
 * @param {string} code
 * @param {string} map
 * @returns {Manifest}
 */
function load(project, code, map) {
  // A realm without Node's globals, as the component will be. What is given here, the engine has besides ECMAScript.
  const realm = vm.createContext({ atob, btoa, DOMException, performance: {}, queueMicrotask }, { name: "component" });
  try {
    // What V8 gives to every realm, and the engine does not have.
    vm.runInContext("delete globalThis.Intl; delete globalThis.WebAssembly", realm);
    vm.runInContext(code, realm, { filename: BUNDLE, timeout: LOAD_MS_MAX });
    return JSON.parse(vm.runInContext("JSON.stringify(component.describe())", realm, { timeout: LOAD_MS_MAX }));
  } catch (error) {
    throw new BuildFailure(explained(project, error, JSON.parse(map)));
  }
}

const BUNDLE = "countersign-component.js";

/**
 * @param {import("./project.js").Project} project
 * @param {any} error
 * @param {{sources: string[], mappings: string}} map
 */
function explained(project, error, map) {
  if (error?.code === "no_agent") {
    return (
      `${shown(project, project.entry)} has no default export that is an \`Agent\`: ` +
      `write \`export default new Agent({ name: "…", version: "1.0.0" })\``
    );
  }
  if (error?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT") {
    const seconds = LOAD_MS_MAX / 1000;
    return `the agent's modules were not loaded after ${seconds} seconds: the top of a module runs at build time`;
  }
  const frame = placed(project, String(error?.stack ?? ""), map);
  return `the agent cannot be loaded: ${error?.name ?? "Error"}: ${error?.message ?? error}${frame}`;
}

/**
 * Where the author's code was, as frames of a stack.
 *
 * @param {import("./project.js").Project} project
 * @param {string} stack
 * @param {{sources: string[], mappings: string}} map
 */
function placed(project, stack, map) {
  const lines = decode(map.mappings);
  const places = [];
  for (const [, line, column] of stack.matchAll(/countersign-component\.js:(\d+):(\d+)/g)) {
    const segment = lines[Number(line) - 1]?.findLast(([start]) => start <= Number(column) - 1);
    if (!segment || segment.length === 1) continue;
    const file = path.resolve(project.folder, map.sources[segment[1]] ?? "");
    if (file.includes("node_modules") || !file.startsWith(project.folder + path.sep)) continue;
    places.push(`\n    at ${shown(project, file)}:${segment[2] + 1}:${segment[3] + 1}`);
  }
  return places.join("");
}

/**
 * @param {import("./project.js").Project} project
 * @param {string} file
 */
function shown(project, file) {
  return path.relative(project.folder, file);
}
