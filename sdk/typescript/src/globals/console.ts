/** `console`, on two streams. */

import { format, inspect } from "./inspect.js";

export interface Streams {
  out(text: string): void;
  error(text: string): void;
}

export function makeConsole({ out, error }: Streams): object {
  let indent = "";
  const counts = new Map<string, number>();
  const starts = new Map<string, number>();
  const to =
    (write: (text: string) => void) =>
    (...values: unknown[]) => {
      const text = format(values);
      write(indent === "" ? text : text.replaceAll(/^/gm, indent));
    };
  const print = to(out);
  const complain = to(error);
  return {
    log: print,
    info: print,
    debug: print,
    warn: complain,
    error: complain,
    trace: (...values: unknown[]) => complain(`Trace: ${format(values)}`),
    dir: (value: unknown) => print(inspect(value)),
    table: (value: unknown) => print(inspect(value)),
    assert: (condition?: unknown, ...values: unknown[]) => {
      if (!condition) complain(values.length > 0 ? `Assertion failed: ${format(values)}` : "Assertion failed");
    },
    count: (label = "default") => {
      counts.set(label, (counts.get(label) ?? 0) + 1);
      print(`${label}: ${counts.get(label)}`);
    },
    countReset: (label = "default") => void counts.delete(label),
    group: (...values: unknown[]) => {
      if (values.length > 0) print(...values);
      indent += "  ";
    },
    groupCollapsed: (...values: unknown[]) => {
      if (values.length > 0) print(...values);
      indent += "  ";
    },
    groupEnd: () => void (indent = indent.slice(2)),
    time: (label = "default") => void starts.set(label, Date.now()),
    timeEnd: (label = "default") => {
      print(`${label}: ${Date.now() - (starts.get(label) ?? Date.now())} ms`);
      starts.delete(label);
    },
    timeLog: (label = "default", ...values: unknown[]) => {
      print(`${label}: ${Date.now() - (starts.get(label) ?? Date.now())} ms`, ...values);
    },
  };
}
