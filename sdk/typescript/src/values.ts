/**
 * Checks of what an author passes to an ask. TypeScript cannot rule all of it out, and a value of a wrong type would
 * end the component where it crosses to the host, without a word about where it came from.
 */

/** A text; what is no well-formed Unicode in it becomes U+FFFD. */
export function text(name: string, value: unknown): string {
  if (typeof value !== "string") throw new TypeError(`${name} must be a string, not ${kind(value)}`);
  return wellFormed(value);
}

export function optionalText(name: string, value: unknown): string | undefined {
  return value == null ? undefined : text(name, value);
}

/** A list of texts, or nothing. */
export function optionalTexts(name: string, value: unknown): string[] | undefined {
  return optionalList(name, value)?.map((item, at) => text(`${name}[${at}]`, item));
}

/** A list, or nothing: an empty one is left out of an ask. */
export function optionalList<T = unknown>(name: string, value: unknown): T[] | undefined {
  if (value == null) return undefined;
  if (!Array.isArray(value)) throw new TypeError(`${name} must be a list, not ${kind(value)}`);
  return value.length > 0 ? value : undefined;
}

/** `true`, or nothing. */
export function optionalFlag(name: string, value: unknown): true | undefined {
  if (value != null && typeof value !== "boolean")
    throw new TypeError(`${name} must be true or false, not ${kind(value)}`);
  return value === true ? true : undefined;
}

/** Milliseconds; parts of one count as a whole one, and a wait without end is as long as the host allows. */
export function millis(name: string, value: unknown): number {
  if (typeof value !== "number" || Number.isNaN(value) || value < 0) {
    throw new TypeError(`${name} must be a number of milliseconds, 0 or more, not ${shown(value)}`);
  }
  // 1.1 hours are 3960000 of them, whatever a float makes of it.
  return Math.min(Math.ceil(Math.round(value * 1000) / 1000), Number.MAX_SAFE_INTEGER);
}

export function optionalMillis(name: string, value: unknown): number | undefined {
  return value == null ? undefined : millis(name, value);
}

export function optionalNumber(name: string, value: unknown, max: number): number | undefined {
  if (value == null) return undefined;
  if (typeof value !== "number" || !(value >= 0 && value <= max)) {
    throw new TypeError(`${name} must be a number from 0 to ${max}, not ${shown(value)}`);
  }
  return value;
}

/** JSON text of a value, or undefined if it has none. What is no well-formed Unicode in it becomes U+FFFD. */
export function stringify(value: unknown): string | undefined {
  const written = JSON.stringify(value) as string | undefined;
  // It writes half of a surrogate pair as an escape, which no parser of UTF-8 can read, and nothing else so.
  if (!written?.includes("\\ud")) return written;
  return written.replaceAll(/\\(?:ud[89a-f][0-9a-f]{2}|.)/g, (escape) => (/^\\ud/.test(escape) ? "\ufffd" : escape));
}

/** The JSON text of a value. */
export function json(name: string, value: unknown): string {
  let written: string | undefined;
  try {
    written = stringify(value);
  } catch (error) {
    throw new TypeError(`${name} cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (written === undefined) throw new TypeError(`${name} cannot be written as JSON: it is ${kind(value)}`);
  return written;
}

/** How deep what another agent says may nest. The engine has no more stack than for some thousands. */
const DEPTH_MAX = 1_000;

/** The value of JSON that nobody has checked. */
export function parse(text: string): unknown {
  if (!isShallow(text)) throw new SyntaxError(`it nests more than ${DEPTH_MAX} deep`);
  return JSON.parse(text);
}

function isShallow(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      i = endOfString(text, i);
      if (i < 0) return true;
    } else if (character === "[" || character === "{") {
      if (++depth > DEPTH_MAX) return false;
    } else if (character === "]" || character === "}") depth--;
  }
  return true;
}

/** Where the string that begins at `start` ends; below 0 if it does not. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let before = end;
    while (text[before - 1] === "\\") before--;
    if (end < 0 || (end - before) % 2 === 0) return end;
  }
}

/** The fields that are there, in this order. */
export function present<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

function wellFormed(value: string): string {
  return (value as string & { toWellFormed(): string }).toWellFormed();
}

function kind(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
}

function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : kind(value);
}
