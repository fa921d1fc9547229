/**
 * `setTimeout` and its kin. A timer is a sleep, which is an ask: it survives the process, and one that is cleared is
 * given up. A timer of no time asks nothing: it runs when everything else waits.
 */

import { execution, type Execution } from "../execution.js";

interface Timer {
  readonly execution: Execution;
  /** None: of no time. */
  op: number | undefined;
}

const timers = new Map<number, Timer>();
let last = 0;

type Callback = (...args: any[]) => unknown;

export function setTimeout(callback: Callback, ms?: number, ...args: unknown[]): number {
  const delay = wait(ms);
  const timer: Timer = { execution: execution(), op: undefined };
  const id = ++last;
  start(id, timer, delay, () => {
    timers.delete(id);
    callback(...args);
  });
  return id;
}

export function setInterval(callback: Callback, ms?: number, ...args: unknown[]): number {
  // Without an ask in it, an interval of no time would never let go.
  const delay = Math.max(wait(ms), 1);
  const timer: Timer = { execution: execution(), op: undefined };
  const id = ++last;
  const again = () => {
    callback(...args);
    if (timers.get(id) === timer) start(id, timer, delay, again);
  };
  start(id, timer, delay, again);
  return id;
}

export function clearTimeout(id?: number): void {
  const timer = typeof id === "number" ? timers.get(id) : undefined;
  if (!timer) return;
  timers.delete(id!);
  if (timer.op !== undefined) timer.execution.abandon(timer.op);
}

export function setImmediate(callback: Callback, ...args: unknown[]): number {
  return setTimeout(callback, 0, ...args);
}

function start(id: number, timer: Timer, delay: number, due: () => void): void {
  timers.set(id, timer);
  const { execution } = timer;
  const fire = () => {
    if (timers.get(id) !== timer) return;
    try {
      due();
    } catch (error) {
      execution.crash(error);
    }
  };
  if (delay === 0) execution.soon(fire);
  else timer.op = execution.submit({ kind: "sleep", duration_ms: delay }, fire);
}

/** Whole milliseconds; what is no time is none. */
function wait(ms: unknown): number {
  const number = Number(ms ?? 0);
  return number > 0 ? Math.min(Math.ceil(number), Number.MAX_SAFE_INTEGER) : 0;
}
