import { Ask, type AskOptions } from "./ask.js";
import { TimeoutError } from "./errors.js";
import { millis } from "./values.js";

/** Waits, at most 366 days; longer waits are cut to that. Parts of a millisecond count as a whole one. */
export function sleep(ms: number, options: AskOptions = {}): Ask<void> {
  return Ask.ask<void>(
    () => ({ kind: "sleep", duration_ms: millis("sleep: the duration", ms) }),
    () => undefined,
    options,
  );
}

/**
 * Waits for an ask, or for work of several asks, but not longer than this.
 *
 * After it the ask is given up, so that its pause is closed or its call cancelled, and the promise is rejected with a
 * `TimeoutError`. Work is given a signal to pass to its asks, which is aborted then.
 *
 * ```ts
 * const review = await timeout(60_000, pause({ approvalRequestId: "quick" }));
 * const both = await timeout(60_000, (signal) => Promise.all([ai({ user: "a", signal }), ai({ user: "b", signal })]));
 * ```
 */
export async function timeout<T>(ms: number, work: Ask<T> | ((signal: AbortSignal) => Promise<T>)): Promise<T> {
  const controller = new AbortController();
  if (!(work instanceof Ask) && typeof work !== "function") {
    throw new TypeError("timeout: the work must be an ask, or a function of a signal that returns a promise");
  }
  try {
    millis("timeout: the duration", ms);
  } catch (error) {
    // It was asked before; nobody else would give it up.
    if (work instanceof Ask) work.abandon(error);
    throw error;
  }
  const promise = work instanceof Ask ? work : work(controller.signal);
  const clock = sleep(ms);
  const ended = clock.then(() => {
    const error = new TimeoutError(`the time was up after ${ms} ms`);
    if (work instanceof Ask) work.abandon(error);
    controller.abort(error);
    throw error;
  });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    clock.abandon();
    ended.catch(() => {});
  }
}
