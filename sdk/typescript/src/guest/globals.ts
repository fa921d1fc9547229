/** The globals that the engine does not have, or has in a form that would not be the same on every replay. */

import { URL, URLSearchParams } from "whatwg-url-minimum";

import { executionIfAny } from "../execution.js";
import { structuredClone } from "../globals/clone.js";
import { makeConsole } from "../globals/console.js";
import { AbortController, AbortSignal, Event, EventTarget } from "../globals/events.js";
import { mapStacksBy } from "../globals/inspect.js";
import { makeCrypto, makeRandom } from "../globals/random.js";
import { TextDecoder, TextEncoder } from "../globals/text.js";
import { clearTimeout, setImmediate, setInterval, setTimeout } from "../globals/timers.js";
import { writeError, writeOut } from "./output.js";
import { isRunning } from "./phase.js";
import { getRandomBytes } from "wasi:random/random@0.2.6";
import { mapStack } from "./trace.js";

mapStacksBy(mapStack);
(Error as { stackTraceLimit?: number }).stackTraceLimit = 30;

function randomBytes(length: number): Uint8Array {
  if (!isRunning()) {
    throw new Error(
      "random numbers are drawn while a function runs, not while its module is loaded: that is at build time",
    );
  }
  return getRandomBytes(length);
}

const drawn = makeRandom(randomBytes);
const atBuild = Math.random;
/** A library that draws while it is loaded does so at build time, and then it is for all executions. */
Math.random = () => (isRunning() ? drawn() : atBuild());

/** The engine's counts from when the component was built. The host's clocks stand still between two answers. */
let origin: number | undefined;
const performance = {
  get timeOrigin() {
    return (origin ??= Date.now());
  },
  now: () => Date.now() - (origin ??= Date.now()),
};

function fetch(): never {
  throw new Error(
    "an agent has no network: `fetch` is not there. Ask a model by `ai`, another agent by `call`, and let an agent " +
      "of your own do what needs the network.",
  );
}

const globals = {
  AbortController,
  AbortSignal,
  clearImmediate: clearTimeout,
  clearInterval: clearTimeout,
  clearTimeout,
  console: makeConsole({ out: writeOut, error: writeError }),
  crypto: makeCrypto(randomBytes),
  Event,
  EventTarget,
  fetch,
  performance,
  setImmediate,
  setInterval,
  setTimeout,
  structuredClone,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
};

for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: false });
}

// So that a callback that throws by way of a promise of the engine's own is not lost: see `queueMicrotask` below.
const engineQueue = globalThis.queueMicrotask;
globalThis.queueMicrotask = (task: () => void) => {
  engineQueue(() => {
    try {
      task();
    } catch (error) {
      executionIfAny()?.crash(error);
    }
  });
};
