/** A WebAssembly component of a script, by componentize-qjs. */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import { BuildFailure } from "./failure.js";

/**
 * What componentize-qjs is for one kind of machine.
 *
 * Its own package names packages of this kind that were never published, and for want of them `npm ci` would refuse the
 * project of every author. So this package names those that are there, and loads the one that was installed.
 *
 * @typedef {object} Backend
 * @property {(options: {witPath: string, world: string, jsSource: string}) => Promise<{component: Uint8Array}>} componentize
 * @property {string} version
 */

const PACKAGE = "@andreiltd/componentize-qjs-binding";

/** The packages that may fit this machine: of Linux the one of its C library was installed. */
const KINDS =
  process.platform === "linux"
    ? [`linux-${process.arch}-gnu`, `linux-${process.arch}-musl`]
    : [`${process.platform}-${process.arch}${process.platform === "win32" ? "-msvc" : ""}`];

/**
 * @param {string} script
 * @returns {Promise<Uint8Array>}
 */
export async function componentize(script) {
  const { componentize } = backend();
  try {
    const { component } = await componentize({
      witPath: fileURLToPath(new URL("../wit", import.meta.url)),
      world: "component",
      jsSource: script,
    });
    return component;
  } catch (error) {
    throw new BuildFailure(`the component cannot be made: ${error instanceof Error ? error.message : error}`);
  }
}

/** @returns {Backend} */
export function backend() {
  const require = createRequire(import.meta.url);
  for (const kind of KINDS) {
    try {
      const { version } = require(`${PACKAGE}-${kind}/package.json`);
      return { componentize: require(`${PACKAGE}-${kind}`).componentize, version };
    } catch (error) {
      if (/** @type {{code?: string}} */ (error).code !== "MODULE_NOT_FOUND") throw notLoaded(error);
    }
  }
  throw notLoaded("it is not installed; run `npm install` in the project");
}

/** @param {unknown} why */
function notLoaded(why) {
  return new BuildFailure(
    `componentize-qjs, which makes components, cannot be loaded on this machine (${process.platform} ${process.arch}): ` +
      (why instanceof Error ? why.message : why),
  );
}
