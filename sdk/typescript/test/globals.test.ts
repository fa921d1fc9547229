import assert from "node:assert/strict";
import { test } from "node:test";

import { structuredClone as clone } from "../src/globals/clone.js";
import { makeConsole } from "../src/globals/console.js";
import * as events from "../src/globals/events.js";
import { format, inspect } from "../src/globals/inspect.js";
import { Agent, sleep } from "../src/index.js";
import { run } from "../src/testing/index.js";
import { TextDecoder as Decoder, TextEncoder as Encoder } from "../src/globals/text.js";

test("UTF-8 is written and read as Node does", () => {
  const texts = ["", "aé世🌍\u0000", "\ud800x", "x\udc00", "\ufeffbom", "🌍".repeat(3_000)];
  for (const text of texts) {
    const bytes = new Encoder().encode(text);
    assert.deepEqual([...bytes], [...new TextEncoder().encode(text)]);
    assert.equal(new Decoder().decode(bytes), new TextDecoder().decode(bytes));
  }
  assert.equal(new Decoder("utf-8", { ignoreBOM: true }).decode(new Encoder().encode("\ufeffx")), "\ufeffx");
});

test("ill-formed UTF-8 is replaced as Node does, whole and in pieces", () => {
  let state = 7;
  const random = () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 8;
  const likely = [0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xe4, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff, 0xa0, 0x90, 0x9f];
  for (let round = 0; round < 3_000; round++) {
    const bytes = Uint8Array.from({ length: random() % 12 }, () => likely[random() % likely.length]!);
    assert.equal(new Decoder().decode(bytes), new TextDecoder().decode(bytes), bytes.join());
    const pieces = new Decoder();
    const cut = random() % (bytes.length + 1);
    const read = pieces.decode(bytes.subarray(0, cut), { stream: true }) + pieces.decode(bytes.subarray(cut));
    assert.equal(read, new TextDecoder().decode(bytes), `${bytes.join()} cut at ${cut}`);
  }
  assert.throws(() => new Decoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff])), TypeError);
  assert.throws(() => new Decoder("latin1"), RangeError);
});

test("encodeInto stops before what does not fit", () => {
  const into = new Uint8Array(5);
  assert.deepEqual(new Encoder().encodeInto("a世🌍", into), { read: 2, written: 4 });
});

test("values are shown as a programmer would write them", () => {
  class Point {
    x: number;
    y: Point | undefined;
    constructor(x: number, y?: Point) {
      this.x = x;
      this.y = y;
    }
  }
  const circular: Record<string, unknown> = { name: "c" };
  circular["self"] = circular;
  const cases: [unknown, string][] = [
    ["it's", `"it's"`],
    [-0, "-0"],
    [5n, "5n"],
    [null, "null"],
    [undefined, "undefined"],
    [Symbol("s"), "Symbol(s)"],
    [[], "[]"],
    [{}, "{}"],
    [[1, [2, [3]]], "[ 1, [ 2, [ 3 ] ] ]"],
    [{ "a-b": 1, c: "d" }, "{ 'a-b': 1, c: 'd' }"],
    [new Point(1, new Point(2)), "Point { x: 1, y: Point { x: 2, y: undefined } }"],
    [new Map([["k", 1]]), "Map(1) { 'k' => 1 }"],
    [new Set([1]), "Set(1) { 1 }"],
    [new Uint8Array(2), "Uint8Array(2) [ 0, 0 ]"],
    [new Date(0), "1970-01-01T00:00:00.000Z"],
    [new Date(NaN), "Invalid Date"],
    [/a/g, "/a/g"],
    [circular, "{ name: 'c', self: [Circular] }"],
    [class A {}, "[class A]"],
    [function f() {}, "[Function: f]"],
    [Object.create(null), "[Object: null prototype] {}"],
    [
      {
        get a() {
          return 1;
        },
      },
      "{ a: [Getter] }",
    ],
    [[1, , 3], "[ 1, <empty>, 3 ]"],
    [Promise.resolve(1), "Promise {}"],
  ];
  for (const [value, shown] of cases) assert.equal(inspect(value), shown);
  const deep = { a: { b: { c: { d: { e: { f: 1 } } } } } };
  assert.match(inspect(deep), /\[Object\]/);
  assert.match(inspect(Array.from({ length: 150 }, (_, i) => i)), /\.\.\. 50 more/);
  assert.match(
    inspect(
      new Proxy(
        {},
        {
          ownKeys() {
            throw new Error("no");
          },
        },
      ),
    ),
    /could not be shown/,
  );
  assert.equal(inspect({ long: "x".repeat(60), more: "y".repeat(30) }).split("\n").length, 4);
});

test("an error is shown with its class, its causes and its fields", () => {
  class OutOfStock extends Error {
    left = 0;
  }
  const shown = inspect(new OutOfStock("none", { cause: new RangeError("inner") }));
  assert.match(shown, /^OutOfStock: none\n +at /);
  assert.match(shown, /\{ left: 0 \}/);
  assert.match(shown, /caused by RangeError: inner/);
});

test("placeholders are filled in", () => {
  assert.equal(format(["%s is %d%% of %i, %j %o %s", "x", "5", 7.9, { a: 1 }, [1]]), 'x is 5% of 7, {"a":1} [ 1 ] %s');
  assert.equal(format(["100%", 1]), "100% 1");
  assert.equal(format([{ a: "%s" }, "b"]), "{ a: '%s' } b");
});

test("a console groups and counts", () => {
  const lines: string[] = [];
  const console = makeConsole({ out: (text) => lines.push(text), error: (text) => lines.push(`! ${text}`) }) as Console;
  console.group("g");
  console.log("a\nb");
  console.groupEnd();
  console.count();
  console.count();
  console.assert(1 === 1, "not shown");
  console.assert(false, "shown");
  assert.deepEqual(lines, ["g", "  a\n  b", "default: 1", "default: 2", "! Assertion failed: shown"]);
});

test("structuredClone copies what can be copied and refuses the rest", () => {
  const value: Record<string, unknown> = {
    date: new Date(5),
    map: new Map([[{ k: 1 }, new Set([1, "a"])]]),
    bytes: new Uint8Array([1, 2]),
    list: [1, , 3],
    error: new TypeError("x", { cause: "y" }),
    nothing: undefined,
    regexp: /a/giu,
    big: 5n,
  };
  value["self"] = value;
  const copy = clone(value);
  assert.notEqual(copy, value);
  assert.equal(copy["self"], copy);
  assert.deepEqual(copy, structuredClone(value));
  assert.ok(copy["error"] instanceof TypeError);
  for (const refused of [() => 1, Symbol("s"), { f() {} }, Promise.resolve(1), new WeakMap()]) {
    assert.throws(() => clone(refused), { name: "DataCloneError" });
  }
});

test("signals tell their listeners once", () => {
  const controller = new events.AbortController();
  const heard: string[] = [];
  controller.signal.addEventListener("abort", () => heard.push("listener"));
  controller.signal.onabort = () => heard.push("onabort");
  const any = events.AbortSignal.any([new events.AbortController().signal, controller.signal]);
  controller.abort("why");
  controller.abort("again");
  assert.deepEqual(heard, ["onabort", "listener"]);
  assert.equal(controller.signal.reason, "why");
  assert.equal(any.aborted && any.reason, "why");
  assert.throws(
    () => any.throwIfAborted(),
    (thrown) => thrown === "why",
  );
  assert.throws(() => new events.AbortSignal(), TypeError);
  assert.equal((events.AbortSignal.abort().reason as Error).name, "AbortError");
});

test("a listener that throws ends the execution, after the others have heard", async () => {
  const heard: string[] = [];
  const agent = new Agent({ name: "a" }).function("f", async () => {
    const controller = new events.AbortController();
    controller.signal.onabort = () => {
      throw new Error("first");
    };
    controller.signal.addEventListener("abort", () => {
      throw new Error("second");
    });
    controller.signal.addEventListener("abort", () => heard.push("third"));
    controller.abort();
    heard.push("aborted");
    await sleep(1);
  });
  const { error, asks } = await run(agent, "f", null, { replay: false });
  assert.deepEqual(error, { code: "Error", message: "first" });
  assert.deepEqual(heard, ["third", "aborted"]);
  assert.equal(asks.length, 1);
});
