/** Writes a line to the execution's log, as `console.log` does. What a replayed slice notes is not written again. */
export function note(...what: unknown[]): void {
  (globalThis as unknown as { console: { log(...what: unknown[]): void } }).console.log(...what);
}
