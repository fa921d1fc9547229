import { AgentError } from "./errors.js";
import { execution, executionIfAny, type Execution } from "./execution.js";
import { inspect } from "./globals/inspect.js";
import type { AnswerRecord, AskRecord } from "./journal.js";

/** What every ask takes besides what it asks. */
export interface AskOptions {
  /** Gives the ask up when it is aborted: a pause is closed, a call cancelled. */
  signal?: AbortSignal | undefined;
}

/**
 * Something asked of the host: the promise of its answer.
 *
 * The host hears of it at once, awaited or not. `abandon` gives it up.
 */
export class Ask<T> extends Promise<T> {
  #giveUp: ((reason: unknown) => void) | undefined;
  #isWatched = false;

  /** What `then` returns is a plain promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Gives the ask up, if it is open: its promise is rejected with `reason`, its pause closed, its call cancelled. */
  abandon(reason: unknown = new DOMException("the ask was given up", "AbortError")): void {
    this.#giveUp?.(reason);
  }

  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isWatched = true;
    return super.then(onFulfilled, onRejected);
  }

  /**
   * Asks.
   *
   * @param record Makes the ask; what it throws is what the promise is rejected with.
   * @param read Reads the answer; what it throws is what the promise is rejected with.
   */
  static ask<T>(
    record: () => AskRecord,
    read: (answer: AnswerRecord) => T | PromiseLike<T>,
    options: AskOptions = {},
  ): Ask<T> {
    // An answer comes when the stack of the one who asked is gone. So it is kept, and shown if the ask fails.
    const site = new Error();
    let settle: { resolve: (value: T | PromiseLike<T>) => void; reject: (reason: unknown) => void } | undefined;
    const ask = new Ask<T>((resolve, reject) => (settle = { resolve, reject }));
    const { resolve, reject } = settle!;
    let here: Execution;
    let op: number;
    try {
      options.signal?.throwIfAborted();
      here = execution();
      op = here.submit(record(), deliver);
    } catch (error) {
      fail(error);
      return ask;
    }
    const onAbort = () => ask.abandon(options.signal?.reason);
    options.signal?.addEventListener("abort", onAbort);
    ask.#giveUp = (reason) => {
      close();
      here.abandon(op);
      // Whoever gives an ask up knows that it fails.
      ask.#isWatched = true;
      reject(reason);
      hush(ask);
    };
    return ask;

    function close() {
      ask.#giveUp = undefined;
      options.signal?.removeEventListener("abort", onAbort);
    }

    function deliver(answer: AnswerRecord) {
      close();
      try {
        const value = read(answer);
        if (value instanceof Promise) value.then(resolve, fail);
        else resolve(value);
      } catch (error) {
        fail(error);
      }
    }

    function fail(error: unknown) {
      if (error instanceof AgentError) showSite(error, site);
      reject(error);
      hush(ask);
      const here = executionIfAny();
      if (ask.#isWatched || !here) return;
      here.soon(() => {
        if (!ask.#isWatched) here.host.complain(`An ask failed, and nothing awaits it: ${inspect(error)}`);
      });
    }
  }
}

/** Keeps Node from ending a test for a rejection that nobody looks at: `complain` says it. */
function hush(ask: Promise<unknown>): void {
  Promise.prototype.then.call(ask, undefined, () => {});
}

/** Makes an error show where its ask was made. */
function showSite(error: Error, site: Error): void {
  const frames = (site.stack ?? "").replace(/^Error.*\n/, "");
  Object.defineProperty(error, "stack", {
    value: `${error.name}: ${error.message}\n${frames}`,
    configurable: true,
    writable: true,
  });
}
