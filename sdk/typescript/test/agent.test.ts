import assert from "node:assert/strict";
import { test } from "node:test";

import * as z from "zod";

import { Agent, AgentError, ai, AiError, call, pause } from "../src/index.js";
import { approved, run } from "../src/testing/index.js";
import { parse } from "../src/values.js";

class OutOfStock extends Error {}

test("the manifest has the schemas of what a function takes and returns", () => {
  const agent = new Agent({ name: "shop", version: "2.0.0" })
    .function("any", async (input) => input)
    .function(
      "order",
      {
        description: "Orders.",
        input: z.object({ pens: z.int().default(1) }),
        output: z.object({ id: z.string() }),
      },
      async ({ pens }) => ({ id: String(pens + 1) }),
    );
  const { functions, ...rest } = agent.manifest();
  assert.deepEqual(rest, { name: "shop", version: "2.0.0" });
  const [any, order] = functions;
  assert.deepEqual(any, { name: "any", description: undefined, inputSchema: undefined, outputSchema: undefined });
  // What has a default need not be given.
  assert.deepEqual(JSON.parse(order!.inputSchema!).required, undefined);
  assert.deepEqual(JSON.parse(order!.inputSchema!).properties.pens.type, "integer");
  assert.deepEqual(JSON.parse(order!.outputSchema!).required, ["id"]);
  assert.equal(JSON.parse(order!.outputSchema!).$schema, undefined);
});

test("names that a host refuses are refused when they are given", () => {
  for (const name of ["", "Upper", "1st", "a.b", "ü", "a".repeat(65), 5 as any]) {
    assert.throws(() => new Agent({ name }), /must be 1 to 64 of the characters/);
    assert.throws(() => new Agent({ name: "a" }).function(name, () => 1), /must be 1 to 64 of the characters/);
  }
  const agent = new Agent({ name: "a" }).function("f", () => 1);
  assert.throws(() => agent.function("f", () => 2), /two functions of the name `f`/);
  assert.throws(() => agent.function("g", { description: 5 as any }, () => 2), /the description of `g` must be/);
  assert.throws(() => agent.function("g", {}, undefined as any), /has no handler/);
  assert.throws(
    () => agent.function("h", { input: z.date() }, () => 1),
    /the input schema of `h`.*Date cannot be represented/,
  );
});

test("an input that does not fit names its field, whatever wrote the schema", async () => {
  const nested = {
    type: "object",
    properties: { list: { type: "array", items: { type: "integer" } } },
    required: ["list"],
  } as const;
  const agent = new Agent({ name: "a" })
    .function("zod", { input: z.object({ list: z.array(z.int()) }) }, ({ list }) => list.length)
    .function("json", { input: nested }, ({ list }) => list.length);
  for (const name of ["zod", "json"]) {
    const wrong = await run(agent, name, { list: [1, "2"] });
    assert.equal(wrong.error?.code, "invalid_input");
    assert.match(wrong.error?.message ?? "", /list\.1: /, name);
    const missing = await run(agent, name, {});
    assert.equal(missing.error?.code, "invalid_input");
    assert.match(missing.error?.message ?? "", /list/, name);
    assert.equal((await run(agent, name, { list: [1] })).result, 1);
  }
});

test("types follow from the schemas", () => {
  const schema = {
    type: "object",
    properties: {
      name: { type: "string" },
      kind: { enum: ["a", "b"] },
      tags: { type: "array", items: { type: ["string", "null"] } },
    },
    required: ["name", "kind"],
  } as const;
  new Agent({ name: "a" })
    .function("json", { input: schema }, (input) => {
      const name: string = input.name;
      const kind: "a" | "b" = input.kind;
      const tags: (string | null)[] | undefined = input.tags;
      // @ts-expect-error there is no such property
      void input.other;
      return [name, kind, tags];
    })
    .function("zod", { input: z.object({ n: z.string().transform(Number) }) }, ({ n }) => {
      const number: number = n;
      return number;
    })
    // @ts-expect-error the output schema wants a number
    .function("output", { output: z.number() }, async () => "text");
});

test("what a function throws is its error", async () => {
  const thrown: [unknown, { code: string; message: string }][] = [
    [new AgentError("too_late", "closed"), { code: "too_late", message: "closed" }],
    [new TypeError("x"), { code: "TypeError", message: "x" }],
    [new OutOfStock("no pens"), { code: "OutOfStock", message: "no pens" }],
    [new AiError("rate_limited", "slow down"), { code: "ai_rate_limited", message: "slow down" }],
    ["text", { code: "Error", message: "thrown: text" }],
    [{ a: 1 }, { code: "Error", message: 'thrown: {"a":1}' }],
    [undefined, { code: "Error", message: "thrown: undefined" }],
  ];
  for (const [value, error] of thrown) {
    const agent = new Agent({ name: "a" }).function("f", () => Promise.reject(value));
    assert.deepEqual((await run(agent, "f")).error, error);
  }
});

test("a result that is no JSON, or does not fit its schema, is an error", async () => {
  const agent = new Agent({ name: "a" })
    .function("big", () => 1n)
    .function("nothing", () => undefined)
    .function("bad", { output: z.object({ n: z.number().max(5) }) }, () => ({ n: 6 }));
  assert.equal((await run(agent, "big")).error?.code, "invalid_result");
  assert.equal((await run(agent, "nothing")).result, null);
  assert.match((await run(agent, "bad")).error?.message ?? "", /^n: /);
  assert.equal((await run(agent, "none")).error?.code, "unknown_function");
});

test("a model's answer is parsed and checked", async () => {
  const Score = z.object({
    stars: z
      .int()
      .max(5)
      .refine((n) => n !== 3, "not three"),
  });
  const agent = new Agent({ name: "a" }).function("f", async () => {
    const { stars } = await ai({ user: "u", schema: Score });
    const twice: number = stars * 2;
    return twice;
  });
  assert.equal((await run(agent, "f", null, { answers: [{ stars: 4 }] })).result, 8);
  for (const answer of ["no JSON", { stars: 9 }, { stars: 3 }]) {
    const { error } = await run(agent, "f", null, { answers: [answer] });
    assert.equal(error?.code, "ai_invalid_output", JSON.stringify(answer));
  }
});

test("halves of surrogate pairs become U+FFFD wherever JSON is written", async () => {
  const agent = new Agent({ name: "a" }).function("f", async () => {
    await call("a.b", { "\ud800": "x\udfff\\ud800\\\udc00🌍" });
    await pause({ approvalRequestId: "x", payload: "\ud800", responseSchema: { title: "\ud800" } });
    return "\ud800";
  });
  const { asks, result } = await run(agent, "f", null, { answers: [1, approved({ response: {} })] });
  assert.equal((asks[0] as any).input, '{"\ufffd":"x\ufffd\\\\ud800\\\\\ufffd🌍"}');
  assert.equal((asks[1] as any).payload, '"\ufffd"');
  assert.equal((asks[1] as any).response_schema, '{"title":"\ufffd"}');
  assert.equal(result, "\ufffd");
});

test("whatever is thrown becomes an error that a caller can read", async () => {
  const bad = () => {
    throw new Error("bad");
  };
  const errorOf = async (thrown: unknown) => {
    const agent = new Agent({ name: "a" }).function("f", () => {
      throw thrown;
    });
    return (await run(agent, "f")).error;
  };
  assert.deepEqual(await errorOf(new AgentError(404 as any, "gone")), { code: "404", message: "gone" });
  assert.deepEqual(await errorOf(new AgentError(5n as any, "x")), { code: "5", message: "x" });
  assert.equal((await errorOf(new Error("x".repeat(100_000))))?.message.length, 16_384);
  assert.equal((await errorOf(Object.defineProperty(new Error("x"), "f", { enumerable: true, get: bad })))?.code, "Error");
  const unreadable = { code: "Error", message: "what was thrown cannot be shown" };
  assert.deepEqual(await errorOf(Object.defineProperty(new Error("x"), "message", { get: bad })), unreadable);
  let chain = new Error("0");
  for (let i = 0; i < 20_000; i++) chain = new Error("n", { cause: chain });
  assert.deepEqual(await errorOf(chain), { code: "Error", message: "n" });
});

test("what a called agent says may nest too deep to be read", async () => {
  const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  assert.deepEqual(parse(deep(1_000)), JSON.parse(deep(1_000)));
  const shallow = ["[".repeat(2_000), '\\"' + "{".repeat(2_000), "\\"];
  assert.deepEqual(parse(JSON.stringify(shallow)), shallow);
  assert.throws(() => parse(deep(1_001)), /nests more than 1000 deep/);
  assert.throws(() => parse('["'), SyntaxError);
  const agent = new Agent({ name: "a" }).function("f", () => call("a.b"));
  const nested = () => JSON.parse(deep(1_001)) as unknown;
  assert.equal((await run(agent, "f", null, { answers: nested })).error?.code, "call_unavailable");
});
