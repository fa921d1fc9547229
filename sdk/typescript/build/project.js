/** What a project says about itself. */

import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

import { BuildFailure } from "./failure.js";

/** Where an entry is looked for, in this order, if package.json names none. */
const ENTRIES = ["src/agent.ts", "agent.ts", "src/index.ts", "src/agent.js", "agent.js", "src/index.js"];

/**
 * @typedef {object} Project
 * @property {string} folder its absolute path
 * @property {string} name of its package.json
 * @property {string} fileName its name as that of a file: without a scope, `_` as `-`
 * @property {string} entry the absolute path of the file that exports the agent
 */

/**
 * @param {string} given the folder, as it was given
 * @returns {Project}
 */
export function readProject(given) {
  const folder = path.resolve(given);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new BuildFailure(`there is no folder ${folder}`);
  const manifest = path.join(folder, "package.json");
  if (!existsSync(manifest)) {
    throw new BuildFailure(`${folder} has no package.json; \`countersign new NAME --lang typescript\` makes a project`);
  }
  const content = parsed(manifest);
  const name = content.name ?? path.basename(folder);
  if (typeof name !== "string") throw new BuildFailure(`${manifest}: "name" must be a string`);
  const fileName = name.replace(/^@[^/]*\//, "").replaceAll("_", "-");
  return { folder, name, fileName, entry: entryOf(folder, manifest, content.countersign?.entry) };
}

/** @param {string} file */
function parsed(file) {
  try {
    const content = JSON.parse(readFileSync(file, "utf8"));
    if (typeof content === "object" && content !== null && !Array.isArray(content)) return content;
  } catch (error) {
    throw new BuildFailure(`${file}: ${error instanceof Error ? error.message : error}`);
  }
  throw new BuildFailure(`${file}: must be a JSON object`);
}

/**
 * @param {string} folder
 * @param {string} manifest
 * @param {unknown} named
 */
function entryOf(folder, manifest, named) {
  if (named !== undefined) {
    if (typeof named !== "string") throw new BuildFailure(`${manifest}: "countersign": {"entry": …} must be a string`);
    const entry = path.resolve(folder, named);
    if (!existsSync(entry)) throw new BuildFailure(`${manifest} names the entry ${named}, but there is no such file`);
    return entry;
  }
  const found = ENTRIES.map((entry) => path.join(folder, entry)).find((entry) => existsSync(entry));
  if (found) return found;
  throw new BuildFailure(
    `found no entry file in ${folder}: write the agent in src/agent.ts, or name its file in package.json: ` +
      `"countersign": {"entry": "path/to/file.ts"}`,
  );
}
