/** Modules that an agent cannot have, refused where they are imported rather than where they fail. */

import { builtinModules } from "node:module";

/** Packages that need a network, files or a process in all that they do. */
const PACKAGES = new Set([
  "axios",
  "cross-fetch",
  "dotenv",
  "express",
  "got",
  "ioredis",
  "isomorphic-fetch",
  "ky",
  "mongodb",
  "mysql2",
  "node-fetch",
  "pg",
  "redis",
  "superagent",
  "undici",
  "ws",
]);

const BUILTINS = new Set(builtinModules);

const INSTEAD =
  "An agent has no network, no files and no process. It asks a model by `ai`, a person by `pause`, and another agent " +
  "by `call`.";

/**
 * Refuses what cannot work in a component, with the file and the line that imports it.
 *
 * @returns {import("esbuild").Plugin}
 */
export function refused() {
  return {
    name: "countersign-refused",
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ path, kind }) => {
        if (kind === "entry-point") return null;
        const name = path.startsWith("node:") ? path.slice("node:".length) : path;
        const root = name.startsWith("@") ? name.split("/", 2).join("/") : (name.split("/", 1)[0] ?? name);
        if (path.startsWith("node:") || BUILTINS.has(name)) {
          return { errors: [{ text: `${path} is a module of Node, and an agent runs without Node. ${INSTEAD}` }] };
        }
        if (PACKAGES.has(root)) return { errors: [{ text: `${root} cannot work in an agent. ${INSTEAD}` }] };
        return null;
      });
    },
  };
}
