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

/** Milliseconds; parts of one count as a whole one, and a wait without end is as long as the host allows. */
export function millis(name: string, value: unknown): number {
  if (typeof value !== "number" || Number.isNaN(value) || value < 0) {
    throw new TypeError(`${name} must be a number of milliseconds, 0 or more, not ${shown(value)}`);
  }
  return Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER);
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

/** The JSON text of a value. */
export function json(name: string, value: unknown): string {
  let written: string | undefined;
  try {
    written = JSON.stringify(value);
  } catch (error) {
    throw new TypeError(`${name} cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (written === undefined) throw new TypeError(`${name} cannot be written as JSON: it is ${kind(value)}`);
  return written;
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
