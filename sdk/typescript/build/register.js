/**
 * Lets Node read TypeScript: `node --import countersign/register --test test/*.test.ts`.
 *
 * It strips types with the esbuild that builds components, so that a test sees the code that a host runs.
 */

import { register } from "node:module";

register("./loader.js", import.meta.url);
process.setSourceMapsEnabled(true);
