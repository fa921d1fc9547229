/** A WebAssembly component of a script. */

import { fileURLToPath } from "node:url";

import { BuildFailure } from "./failure.js";

/**
 * @param {string} script
 * @returns {Promise<Uint8Array>}
 */
export async function componentize(script) {
  const { componentize } = await backend();
  try {
    const { component } = await componentize({
      witPath: fileURLToPath(new URL("../wit", import.meta.url)),
      world: "component",
      jsSource: script,
    });
    return new Uint8Array(component);
  } catch (error) {
    throw new BuildFailure(`the component cannot be made: ${error instanceof Error ? error.message : error}`);
  }
}

async function backend() {
  try {
    return await import("componentize-qjs");
  } catch (error) {
    throw new BuildFailure(
      `componentize-qjs, which makes components, is not installed for this machine (${process.platform} ` +
        `${process.arch}); run \`npm install\` in the project: ${error instanceof Error ? error.message : error}`,
    );
  }
}
