/** `Event`, `EventTarget`, `AbortController` and `AbortSignal`, as far as agents and libraries for them use them. */

import { executionIfAny } from "../execution.js";
import { setTimeout } from "./timers.js";

export class Event {
  readonly type: string;
  readonly cancelable: boolean;
  readonly timeStamp = Date.now();
  target: EventTarget | null = null;
  defaultPrevented = false;

  constructor(type: string, options: { cancelable?: boolean } = {}) {
    this.type = type;
    this.cancelable = options.cancelable ?? false;
  }

  preventDefault(): void {
    if (this.cancelable) this.defaultPrevented = true;
  }
}

type Listener = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };

export class EventTarget {
  readonly #listeners = new Map<string, Map<Listener, { once: boolean }>>();

  addEventListener(type: string, listener: Listener | null, options: boolean | { once?: boolean } = {}): void {
    if (!listener) return;
    const listeners = this.#listeners.get(type) ?? new Map<Listener, { once: boolean }>();
    this.#listeners.set(type, listeners);
    const once = typeof options === "object" && options.once === true;
    if (!listeners.has(listener)) listeners.set(listener, { once });
  }

  removeEventListener(type: string, listener: Listener | null): void {
    if (listener) this.#listeners.get(type)?.delete(listener);
  }

  dispatchEvent(event: Event): boolean {
    event.target = this;
    for (const [listener, { once }] of [...(this.#listeners.get(event.type) ?? [])]) {
      if (once) this.removeEventListener(event.type, listener);
      guarded(() => (typeof listener === "function" ? listener.call(this, event) : listener.handleEvent(event)));
    }
    return !event.defaultPrevented;
  }
}

/** A listener that throws keeps neither the others nor who dispatches from going on; it ends the execution. */
function guarded(listener: () => unknown): void {
  try {
    listener();
  } catch (error) {
    const here = executionIfAny();
    if (!here) throw error;
    here.crash(error);
  }
}

/** Only this file makes signals and aborts them. */
const MAKE = Symbol("make");

export class AbortSignal extends EventTarget {
  #isAborted = false;
  #reason: unknown;
  onabort: ((event: Event) => unknown) | null = null;

  constructor(key?: symbol) {
    if (key !== MAKE) throw new TypeError("Illegal constructor: use an AbortController");
    super();
  }

  get aborted(): boolean {
    return this.#isAborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#isAborted) throw this.#reason;
  }

  /** Not of the standard: for the controller. */
  [MAKE](reason: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
    const event = new Event("abort");
    guarded(() => this.onabort?.(event));
    this.dispatchEvent(event);
  }

  static abort(reason?: unknown): AbortSignal {
    const signal = new AbortSignal(MAKE);
    signal[MAKE](reason);
    return signal;
  }

  /** Opens a sleep, which is an ask. */
  static timeout(ms: number): AbortSignal {
    const signal = new AbortSignal(MAKE);
    setTimeout(() => signal[MAKE](new DOMException("The operation was aborted due to timeout", "TimeoutError")), ms);
    return signal;
  }

  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const all = [...signals];
    const any = new AbortSignal(MAKE);
    const first = all.find((signal) => signal.aborted);
    if (first) any[MAKE](first.reason);
    else for (const signal of all) signal.addEventListener("abort", () => any[MAKE](signal.reason), { once: true });
    return any;
  }
}

export class AbortController {
  readonly signal = new AbortSignal(MAKE);

  abort(reason?: unknown): void {
    this.signal[MAKE](reason);
  }
}
