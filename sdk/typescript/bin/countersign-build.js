#!/usr/bin/env node
import process from "node:process";

const builder = await import("../build/main.js").catch((/** @type {NodeJS.ErrnoException} */ error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  process.stderr.write(`error: ${error.message}; run \`npm install\` in the project\n`);
  process.exit(1);
});
process.exitCode = await builder.main(process.argv.slice(2));
