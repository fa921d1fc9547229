/**
 * What a component was made from, as a custom section at its end.
 *
 * The engine draws random numbers and reads a clock while a component is made, so two of the same script differ. A
 * component that is already there, of the same script, is left alone instead: to deploy it again changes nothing.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";

import { backend } from "./component.js";

const SECTION = "countersign:source";

/**
 * @param {string} script
 * @returns {Buffer} the bytes that end a component of this script
 */
export function sealOf(script) {
  const digest = createHash("sha256").update(`componentize-qjs ${backend().version}\n`).update(script).digest();
  const content = Buffer.concat([Buffer.from([SECTION.length]), Buffer.from(SECTION), digest]);
  // A custom section: its id, its size, which is below 128 and so takes a byte, and what is in it.
  return Buffer.concat([Buffer.from([0, content.length]), content]);
}

/**
 * Whether there is a component of the script with this seal.
 *
 * @param {string} file
 * @param {Buffer} seal
 */
export function isSealed(file, seal) {
  return existsSync(file) && readFileSync(file).subarray(-seal.length).equals(seal);
}
