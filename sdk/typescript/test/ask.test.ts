import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Agent,
  AgentError,
  ai,
  call,
  CallError,
  pause,
  reviewLink,
  sleep,
  timeout,
  TimeoutError,
} from "../src/index.js";
import { after, approved, never, run } from "../src/testing/index.js";

const agentOf = (work: (input: any) => unknown) => new Agent({ name: "a" }).function("f", work);

test("a function returns what it computes from its answers", async () => {
  const agent = agentOf(async ({ brief }) => `${await ai({ system: "Be brief.", user: brief })}!`);
  const { result, asks } = await run(agent, "f", { brief: "Spring" }, { answers: ["A draft"] });
  assert.equal(result, "A draft!");
  assert.deepEqual(asks, [
    {
      kind: "ai",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Spring" },
      ],
    },
  ]);
});

test("the fields of an ask stand in the journal's order and absent ones are left out", async () => {
  const agent = agentOf(async () => {
    await pause({ expiresInHours: 1.5, title: "T", approvalRequestId: "x", choices: ["yes"], payload: { a: null } });
    await ai({ maxTokens: 9, temperature: 0.5, user: "u", model: "m" });
    await call("a.b", { x: [1, "ü"] });
    await sleep(0.2);
  });
  const { asks } = await run(agent, "f", null, {
    answers: [{}, "x", 1].map((answer, i) => (i === 0 ? approvedYes : answer)),
  });
  assert.deepEqual(
    asks.map((ask) => JSON.stringify(ask)),
    [
      '{"kind":"pause","approval_request_id":"x","expires_in_ms":5400000,' +
        '"title":"T","payload":"{\\"a\\":null}","choices":["yes"]}',
      '{"kind":"ai","messages":[{"role":"user","content":"u"}],"model":"m","temperature":0.5,"max_tokens":9}',
      '{"kind":"call","target":"a.b","input":"{\\"x\\":[1,\\"ü\\"]}"}',
      '{"kind":"sleep","duration_ms":1}',
    ],
  );
});
const approvedYes = Object.assign(approved(), { decision: "yes" });

test("asks at once are answered by when their answers come", async () => {
  const agent = agentOf(async () => {
    const order: string[] = [];
    const ask = (user: string) => ai({ user }).then((text) => void order.push(text));
    await Promise.all([ask("a"), ask("b"), sleep(50).then(() => void order.push("slept"))]);
    return order;
  });
  const { result } = await run(agent, "f", null, { answers: [after(100, "a"), "b"] });
  assert.deepEqual(result, ["b", "slept", "a"]);
});

test("a timeout gives an ask up and tells the host", async () => {
  const agent = agentOf(async () => {
    const error = await timeout(1_000, pause({ approvalRequestId: "x" })).catch((error: unknown) => error);
    assert.ok(error instanceof TimeoutError);
    return ai({ user: "next" });
  });
  const { result, journal } = await run(agent, "f", null, { answers: [never(), "ok"] });
  assert.equal(result, "ok");
  assert.deepEqual(
    journal.map(({ op, ask }) => [op, ask.kind]),
    [
      [1, "sleep"],
      [2, "ai"],
    ],
  );
});

test("a timeout that is not needed gives its own sleep up", async () => {
  const agent = agentOf(async () => {
    const review = await timeout(1_000, pause({ approvalRequestId: "x" }));
    await sleep(5_000);
    return review.decision;
  });
  const { result, journal } = await run(agent, "f", null, { answers: [approved()] });
  assert.equal(result, "approved");
  assert.deepEqual(
    journal.map(({ op }) => op),
    [0, 2],
  );
});

test("work of a timeout is told by its signal", async () => {
  const agent = agentOf(async () => {
    const work = async (signal: AbortSignal) => [await ai({ user: "a", signal }), await ai({ user: "b", signal })];
    return timeout(10, work).catch((error: Error) => error.name);
  });
  const { result, journal } = await run(agent, "f", null, { answers: ["a", after(60, "b")] });
  assert.equal(result, "TimeoutError");
  assert.deepEqual(
    journal.map(({ op }) => op),
    [0, 1],
  );
});

test("an aborted signal asks nothing", async () => {
  const agent = agentOf(async () =>
    ai({ user: "a", signal: AbortSignal.abort(new Error("no")) }).catch((e: Error) => e.message),
  );
  const { result, asks } = await run(agent, "f");
  assert.equal(result, "no");
  assert.deepEqual(asks, []);
});

test("a failed ask shows where it was made", async () => {
  const agent = agentOf(async function publish() {
    await call("a.b");
  });
  const { error, thrown } = await run(agent, "f", null, { answers: [new CallError("failed", "", { code: "down" })] });
  assert.deepEqual(error, { code: "call_failed", message: 'a.b failed: {"code":"down"}' });
  assert.ok(thrown instanceof CallError);
  assert.deepEqual(thrown.error, { code: "down" });
  assert.match(thrown.stack ?? "", /publish .*ask\.test\.ts:\d+/);
});

test("an ask that fails while nothing awaits it is noted on stderr", async () => {
  const agent = agentOf(async () => {
    void call("a.b");
    await sleep(5);
    return "done";
  });
  const { result, log } = await run(agent, "f", null, { answers: [new CallError("cancelled", "")] });
  assert.equal(result, "done");
  assert.equal(log[0]?.stream, "stderr");
  assert.match(log[0]?.text ?? "", /nothing awaits it: CallError/);
});

test("arguments of a wrong type reject before anything is asked", async () => {
  const wrong: [() => Promise<unknown>, RegExp][] = [
    [() => ai({} as any), /a `system`, a `user` or some `messages`/],
    [() => ai({ user: 5 as any }), /the user message must be a string, not number/],
    [() => ai({ user: "u", temperature: 3 }), /temperature must be a number from 0 to 2, not 3/],
    [() => pause({} as any), /approvalRequestId must be a string, not undefined/],
    [() => pause({ approvalRequestId: "x", expiresInHours: 1, expiresInMs: 1 }), /not both/],
    [() => pause({ approvalRequestId: "x", payload: 1n }), /payload cannot be written as JSON/],
    [() => pause({ approvalRequestId: "x", choices: "yes" as any }), /choices must be a list, not string/],
    [() => pause({ approvalRequestId: "x", reviewers: [] }), /reviewers: name at least one/],
    [() => pause({ approvalRequestId: "x", stages: [{ reviewers: [] }] }), /stages\[0\]: reviewers: name at least one/],
    [() => pause({ approvalRequestId: "x", reviewers: ["ana"], stages: [{}] }), /not both/],
    [() => pause({ approvalRequestId: "x", required: 1.5 }), /required must be a whole number/],
    [() => pause({ approvalRequestId: "x", rejection: "all" as any }), /rejection is "first" or "majority"/],
    [() => pause({ approvalRequestId: "x", editable: 1 as any }), /editable must be true or false/],
    [() => pause({ approvalRequestId: "x", remindAfterMs: [-1] }), /remindAfterMs must be a number of milliseconds/],
    [() => pause({ approvalRequestId: "x", escalations: [{} as any] }), /escalations\[0\]: afterMs must be a number/],
    [() => reviewLink("x", 3 as any), /reviewer must be a string/],
    [() => call("a.b", () => {}), /the input cannot be written as JSON: it is function/],
    [() => sleep(Number.NaN), /must be a number of milliseconds/],
    [() => sleep("5" as any), /must be a number of milliseconds/],
  ];
  const agent = agentOf(async () => {
    for (const [ask, message] of wrong) await assert.rejects(ask(), { name: "TypeError", message });
  });
  const { error, asks } = await run(agent, "f");
  assert.equal(error, undefined);
  assert.deepEqual(asks, []);
});

test("a lone surrogate is replaced where it would end the component", async () => {
  const { asks } = await run(
    agentOf(() => ai({ user: "\ud800x" })),
    "f",
    null,
    { answers: ["ok"] },
  );
  assert.deepEqual(asks, [{ kind: "ai", messages: [{ role: "user", content: "\ufffdx" }] }]);
});

test("an ask outside of a function says so", async () => {
  await assert.rejects(ai({ user: "u" }), (error) => error instanceof AgentError && error.code === "no_execution");
});

test("waiting for what nothing settles is stuck and not silent", async () => {
  const { error, log } = await run(
    agentOf(() => new Promise(() => {})),
    "f",
  );
  assert.equal(error?.code, "stuck");
  assert.match(log[0]?.text ?? "", /it can never go on/);
});

test("a timeout of no sense gives up what was asked for it", async () => {
  const agent = agentOf(async () => {
    await assert.rejects(timeout(-1, pause({ approvalRequestId: "x" })), TypeError);
    await assert.rejects(
      timeout(Number.NaN, () => ai({ user: "never asked" })),
      TypeError,
    );
    // The pause is no longer open, so nothing is left to wait for.
    await new Promise(() => {});
  });
  const { asks, error } = await run(agent, "f");
  assert.equal(error?.code, "stuck");
  assert.deepEqual(asks, [{ kind: "pause", approval_request_id: "x" }]);
});

test("a time in hours is no millisecond longer for being a float", async () => {
  const agent = agentOf(() => pause({ approvalRequestId: "x", expiresInHours: 1.1 }));
  const { asks } = await run(agent, "f", null, { answers: [approved()] });
  assert.deepEqual(asks, [{ kind: "pause", approval_request_id: "x", expires_in_ms: 3_960_000 }]);
});
