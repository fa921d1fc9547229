/** While an agent runs in a test, its globals are those of a component: clocks, chance, timers and the log. */

import { AsyncLocalStorage } from "node:async_hooks";

import { Execution, findExecutionBy } from "../execution.js";
import { makeConsole } from "../globals/console.js";
import { makeCrypto, makeRandom, type RandomBytes } from "../globals/random.js";
import * as timers from "../globals/timers.js";
import type { TestHost } from "./host.js";

/** One run of an agent in a test. */
export interface Scene {
  readonly execution: Execution;
  readonly host: TestHost;
  readonly globals: Readonly<Record<string, any>>;
}

const scenes = new AsyncLocalStorage<Scene>();
findExecutionBy(() => scenes.getStore()?.execution);

export function sceneOf(host: TestHost, seed: number): Scene {
  const randomBytes = bytesFrom(seed);
  const print = (stream: "stdout" | "stderr") => (text: string) => host.print(stream, text);
  const globals = {
    ...timers,
    clearInterval: timers.clearTimeout,
    clearImmediate: timers.clearTimeout,
    console: makeConsole({ out: print("stdout"), error: print("stderr") }),
    crypto: makeCrypto(randomBytes),
    random: makeRandom(randomBytes),
    fetch: () => {
      throw new Error("an agent has no network: `fetch` is not there");
    },
  };
  return { execution: new Execution(host), host, globals };
}

/** Runs this with the scene's globals. Whatever else goes on in the process keeps its own. */
export function within<T>(scene: Scene, work: () => Promise<T>): Promise<T> {
  install();
  return scenes.run(scene, work);
}

let isInstalled = false;

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const name of [
    "setTimeout",
    "setInterval",
    "setImmediate",
    "clearTimeout",
    "clearInterval",
    "clearImmediate",
    "fetch",
  ]) {
    divert(globalThis, name, name);
  }
  divert(Math, "random", "random");
  for (const name of ["getRandomValues", "randomUUID"]) {
    divert(globalThis.crypto, name, name, (scene) => scene.globals["crypto"]);
  }
  for (const name of Object.keys(makeConsole({ out: () => {}, error: () => {} }))) {
    divert(console, name, name, (scene) => scene.globals["console"]);
  }
  const startOf = new WeakMap<Scene, number>();
  const realNow = performance.now.bind(performance);
  performance.now = () => {
    const scene = scenes.getStore();
    if (!scene) return realNow();
    if (!startOf.has(scene)) startOf.set(scene, scene.host.now);
    return scene.host.now - startOf.get(scene)!;
  };
  const realTimeout = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => {
    if (!scenes.getStore()) return realTimeout(ms);
    const controller = new AbortController();
    const reason = new DOMException("The operation was aborted due to timeout", "TimeoutError");
    timers.setTimeout(() => controller.abort(reason), ms);
    return controller.signal;
  };
  globalThis.Date = divertedDate();
}

/** Has a function be the scene's, wherever a scene is. */
function divert(
  owner: any,
  property: string,
  name: string,
  from: (scene: Scene) => any = (scene) => scene.globals,
): void {
  const real = owner[property];
  owner[property] = function (this: unknown, ...args: unknown[]) {
    const scene = scenes.getStore();
    return scene ? from(scene)[name](...args) : Reflect.apply(real, this, args);
  };
}

function divertedDate(): DateConstructor {
  const Real = Date;
  const now = () => scenes.getStore()?.host.now ?? Real.now();
  return new Proxy(Real, {
    apply: () => new Real(now()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    get: (target, key, receiver) => (key === "now" ? now : Reflect.get(target, key, receiver)),
  });
}

/** Bytes that are the same in every run of the test: those of splitmix32. */
function bytesFrom(seed: number): RandomBytes {
  let state = seed >>> 0;
  return (length) => {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      state = (state + 0x9e3779b9) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      bytes[i] = (mixed ^ (mixed >>> 15)) >>> 24;
    }
    return bytes;
  };
}
