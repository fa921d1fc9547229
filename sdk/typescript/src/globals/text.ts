/** `TextEncoder` and `TextDecoder`, of UTF-8 alone. */

import { decode, encode } from "./utf8.js";

export class TextEncoder {
  readonly encoding = "utf-8";

  encode(text = ""): Uint8Array<ArrayBuffer> {
    return encode(String(text));
  }

  encodeInto(text: string, into: Uint8Array): { read: number; written: number } {
    let [read, written] = [0, 0];
    for (const character of text) {
      const bytes = encode(character);
      if (written + bytes.length > into.length) break;
      into.set(bytes, written);
      read += character.length;
      written += bytes.length;
    }
    return { read, written };
  }
}

const LABELS = new Set(["utf-8", "utf8", "unicode-1-1-utf-8"]);

export class TextDecoder {
  readonly encoding = "utf-8";
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  #kept = new Uint8Array(0);
  #hasBegun = false;

  constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    if (!LABELS.has(String(label).trim().toLowerCase())) {
      throw new RangeError(`TextDecoder: an agent decodes UTF-8 alone, not ${String(label)}`);
    }
    this.fatal = options.fatal ?? false;
    this.ignoreBOM = options.ignoreBOM ?? false;
  }

  decode(input?: ArrayBufferLike | ArrayBufferView, options: { stream?: boolean } = {}): string {
    const isEnd = !options.stream;
    const bytes = joined(this.#kept, view(input));
    this.#kept = new Uint8Array(0);
    const { text, left } = decode(bytes, this.fatal, isEnd);
    if (left > 0) this.#kept = bytes.slice(bytes.length - left);
    const isFirst = !this.#hasBegun && text.length > 0;
    this.#hasBegun = isEnd ? false : this.#hasBegun || isFirst;
    return isFirst && !this.ignoreBOM && text.startsWith("\ufeff") ? text.slice(1) : text;
  }
}

function view(input: ArrayBufferLike | ArrayBufferView | undefined): Uint8Array {
  if (input === undefined) return new Uint8Array(0);
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  return new Uint8Array(input);
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
