/** Checks the types of a project, if it has a compiler. */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { BuildFailure } from "./failure.js";
import { progress } from "./main.js";

/** What is checked in a project without a tsconfig.json. */
const OPTIONS = [
  "--strict",
  "--target",
  "es2024",
  "--lib",
  "es2024",
  "--module",
  "esnext",
  "--moduleResolution",
  "bundler",
  "--skipLibCheck",
  "--types",
  fileURLToPath(new URL("../types/globals.d.ts", import.meta.url)),
];

/** @param {import("./project.js").Project} project */
export async function typeCheck(project) {
  const compiler = find(project);
  if (!compiler) return progress("Not checking types: typescript is not installed in the project");
  progress("Checking types");
  const config = path.join(project.folder, "tsconfig.json");
  const what = existsSync(config) ? ["--project", config] : [...OPTIONS, project.entry];
  const { code, output } = await run(
    compiler,
    ["--noEmit", "--pretty", String(process.stderr.isTTY === true), ...what],
    project.folder,
  );
  if (code !== 0) throw new BuildFailure(`the types do not fit (\`--no-check\` builds anyway)\n\n${output.trim()}`);
}

/**
 * The project's own compiler, or the one that is installed with this SDK's sources.
 *
 * @param {import("./project.js").Project} project
 */
function find(project) {
  for (const from of [path.join(project.folder, "package.json"), fileURLToPath(import.meta.url)]) {
    try {
      const manifest = createRequire(from).resolve("typescript/package.json");
      return path.join(path.dirname(manifest), "bin", "tsc");
    } catch {
      // It is not there.
    }
  }
  return undefined;
}

/**
 * @param {string} compiler
 * @param {string[]} args
 * @param {string} folder
 * @returns {Promise<{code: number | null, output: string}>}
 */
function run(compiler, args, folder) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [compiler, ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}
