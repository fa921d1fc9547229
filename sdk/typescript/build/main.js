/** The command `countersign-build`. */

import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { bundle } from "./bundle.js";
import { componentize } from "./component.js";
import { BuildFailure } from "./failure.js";
import { describe } from "./describe.js";
import { readProject } from "./project.js";
import { isSealed, sealOf } from "./seal.js";
import { typeCheck } from "./typecheck.js";

const USAGE = `Usage: countersign-build [DIR] [--output FILE] [--no-check]

Makes a component of the TypeScript project in DIR, for a Countersign host.

  DIR            The project's folder, with its package.json [default: .]
  --output FILE  Where the component goes [default: DIR/dist/NAME.wasm]
  --no-check     Do not check types, even if typescript is installed
`;

/**
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
export async function main(args) {
  try {
    const { values, positionals } = parsed(args);
    if (values.help) {
      process.stdout.write(USAGE);
      return 0;
    }
    if (positionals.length > 1) throw new BuildFailure(`one folder, not ${positionals.length}\n\n${USAGE}`);
    await build(positionals[0] ?? ".", values);
    return 0;
  } catch (error) {
    if (!(error instanceof BuildFailure)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    return 1;
  }
}

/** @param {string[]} args */
function parsed(args) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        output: { type: "string", short: "o" },
        "no-check": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new BuildFailure(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

/**
 * @param {string} folder
 * @param {{output?: string | undefined, "no-check"?: boolean | undefined}} options
 */
async function build(folder, options) {
  const started = performance.now();
  const project = readProject(folder);
  progress(`Bundling ${path.relative(process.cwd(), project.entry)}`);
  const script = await bundle(project);
  if (!options["no-check"]) await typeCheck(project);
  const manifest = await describe(project);
  const names = manifest.functions.map(({ name }) => name).join(", ");
  progress(`Agent ${manifest.name} ${manifest.version}: ${names}`);
  const output = path.resolve(options.output ?? path.join(project.folder, "dist", `${project.fileName}.wasm`));
  const seal = sealOf(script);
  if (isSealed(output, seal)) return progress(`${path.relative(process.cwd(), output)} is up to date`);
  progress(`Making the component of ${kib(script.length)} of JavaScript`);
  const component = Buffer.concat([await componentize(script), seal]);
  write(output, component);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  progress(`Wrote ${path.relative(process.cwd(), output)}, ${kib(component.length)}, in ${seconds} s`);
}

/**
 * @param {string} output
 * @param {Uint8Array} component
 */
function write(output, component) {
  try {
    mkdirSync(path.dirname(output), { recursive: true });
    writeFileSync(output, component);
  } catch (error) {
    throw new BuildFailure(`cannot write ${output}: ${error instanceof Error ? error.message : error}`);
  }
}

/** @param {string} line */
export function progress(line) {
  process.stderr.write(`${line}\n`);
}

/** @param {number} bytes */
function kib(bytes) {
  return `${Math.ceil(bytes / 1024).toLocaleString("en")} KiB`;
}
