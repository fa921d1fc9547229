import assert from "node:assert/strict";
import { setTimeout as realSleep } from "node:timers/promises";
import { test } from "node:test";

import { Agent, ai, executionId, note, pause, PauseError, sleep, waitForResume } from "../src/index.js";
import { after, AnswerError, approved, never, ReplayError, run } from "../src/testing/index.js";

const agentOf = (work: (input: any) => unknown) => new Agent({ name: "a" }).function("f", work);

test("too few and too many answers are the test's fault", async () => {
  const agent = agentOf(() => ai({ user: "one" }));
  await assert.rejects(
    run(agent, "f"),
    (error: Error) => error instanceof AnswerError && /"content":"one"/.test(error.message),
  );
  await assert.rejects(run(agent, "f", null, { answers: ["1", "2"] }), /fewer asks than there are answers: 1/);
  await assert.rejects(run(agent, "f", null, { answers: [new Error("x")] }), /cannot fail with Error: x/);
});

test("answers may be a function of the ask", async () => {
  const agent = agentOf(async () => [await ai({ user: "a" }), await ai({ user: "b" })]);
  const { result } = await run(agent, "f", null, {
    answers: async (ask, op) => (ask.kind === "ai" ? `${op}: ${ask.messages[0]?.content}` : undefined),
  });
  assert.deepEqual(result, ["0: a", "1: b"]);
});

test("an agent that keeps something between runs is found out by the replay", async () => {
  let runs = 0;
  const agent = agentOf(() => ai({ user: `run ${++runs}` }));
  await assert.rejects(run(agent, "f", null, { answers: ["x"] }), (error: Error) => {
    return error instanceof ReplayError && /run 1.*run 2/.test(error.message);
  });
  assert.equal((await run(agent, "f", null, { answers: ["x"], replay: false })).result, "x");
});

test("clocks stand still between two answers and jump with them", async () => {
  const agent = agentOf(async () => {
    const times = [Date.now(), new Date().getTime(), performance.now()];
    await sleep(60_000);
    await pause({ approvalRequestId: "x" });
    return [...times, Date.now(), performance.now(), new Date(0).toISOString(), new Date() instanceof Date];
  });
  const start = Date.UTC(2026, 10, 22);
  const { result } = await run(agent, "f", null, { answers: [after(500, approved())], now: new Date(start) });
  assert.deepEqual(result, [start, start, 0, start + 60_500, 60_500, "1970-01-01T00:00:00.000Z", true]);
});

test("chance is the same for the same seed", async () => {
  const agent = agentOf(() => [Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(4))]]);
  const [one, again, other] = await Promise.all(
    [1, 1, 2].map(async (seed) => (await run(agent, "f", null, { seed })).result),
  );
  assert.deepEqual(one, again);
  assert.notDeepEqual(one, other);
  assert.match(one[1], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(one[0] >= 0 && one[0] < 1);
});

test("timers are sleeps and cleared ones are given up", async () => {
  const agent = agentOf(async () => {
    const order: string[] = [];
    clearTimeout(setTimeout(() => order.push("cleared"), 5));
    setTimeout(() => order.push("zero"), 0);
    setImmediate(() => order.push("immediate"));
    await new Promise<void>((resolve) => setTimeout(resolve, 20));
    let ticks = 0;
    await new Promise<void>((resolve) => {
      const id = setInterval(() => {
        if (++ticks === 3) resolve(clearInterval(id));
      }, 7);
    });
    return [order, ticks];
  });
  const { result, asks, journal } = await run(agent, "f");
  assert.deepEqual(result, [["zero", "immediate"], 3]);
  assert.deepEqual(
    asks.map((ask) => (ask as { duration_ms: number }).duration_ms),
    [5, 20, 7, 7, 7],
  );
  assert.equal(journal.length, 4);
});

test("an exception in a timer ends the function", async () => {
  const agent = agentOf(async () => {
    setTimeout(() => {
      throw new RangeError("in a timer");
    }, 1);
    await sleep(1_000);
  });
  assert.deepEqual((await run(agent, "f")).error, { code: "RangeError", message: "in a timer" });
});

test("the log has both streams, line by line", async () => {
  const agent = agentOf(() => {
    console.log("a %s %d", "b", 1, { c: [undefined] });
    console.error(new TypeError("two\nlines"));
    note("n");
  });
  const { log } = await run(agent, "f");
  assert.deepEqual(log.slice(0, 3), [
    { stream: "stdout", text: "a b 1 { c: [ undefined ] }" },
    { stream: "stderr", text: "TypeError: two" },
    { stream: "stderr", text: "lines" },
  ]);
  assert.deepEqual(log.at(-1), { stream: "stdout", text: "n" });
});

test("a run does not change the globals of what runs beside it", async () => {
  const before = Date.now();
  const agent = agentOf(async () => {
    await sleep(86_400_000);
    return executionId();
  });
  const [outcome, meanwhile] = await Promise.all([
    run(agent, "f", null, { executionId: "exec_1" }),
    realSleep(5).then(() => new Promise<number>((resolve) => setTimeout(() => resolve(Date.now()), 1))),
  ]);
  assert.equal(outcome.result, "exec_1");
  assert.ok(meanwhile >= before && meanwhile < before + 60_000);
});

test("one decision is that of all who wait for it", async () => {
  const early = agentOf(async () => {
    const first = await waitForResume("x");
    return [first.decision, (await pause({ approvalRequestId: "x" })).decision];
  });
  assert.deepEqual((await run(early, "f", null, { answers: [approved()] })).result, ["approved", "approved"]);

  const late = agentOf(async () => {
    const first = await pause({ approvalRequestId: "x", expiresInMs: 1_000 });
    const start = Date.now();
    return [first.decision, (await waitForResume("x")).decision, Date.now() - start];
  });
  assert.deepEqual((await run(late, "f", null, { answers: [never()] })).result, ["expired", "expired", 0]);
});

test("a pause that was refused has not used up its id", async () => {
  const agent = agentOf(async () => {
    await assert.rejects(pause({ approvalRequestId: "x" }), PauseError);
    return (await pause({ approvalRequestId: "x" })).decision;
  });
  const answers = [new PauseError("invalid_request", "title"), approved()];
  assert.equal((await run(agent, "f", null, { answers })).result, "approved");
});
