/** Standard output and error: the execution's log. */

import { getStderr } from "wasi:cli/stderr@0.2.6";
import { getStdout } from "wasi:cli/stdout@0.2.6";

import { encode } from "../globals/utf8.js";
import { isRunning } from "./phase.js";

type Stream = { blockingWriteAndFlush(bytes: Uint8Array): void };

/** WASI takes no more at once. */
const WRITE_BYTES_MAX = 4096;

const open: { out?: Stream; error?: Stream } = {};

export function writeOut(text: string): void {
  // While the component is built there is no host, and no log.
  if (isRunning()) write((open.out ??= getStdout()), text);
}

export function writeError(text: string): void {
  if (isRunning()) write((open.error ??= getStderr()), text);
}

function write(stream: Stream, text: string): void {
  const bytes = encode(text + "\n");
  for (let start = 0; start < bytes.length; start += WRITE_BYTES_MAX) {
    stream.blockingWriteAndFlush(bytes.slice(start, start + WRITE_BYTES_MAX));
  }
}
