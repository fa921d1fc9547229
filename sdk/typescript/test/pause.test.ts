import assert from "node:assert/strict";
import { test } from "node:test";

import * as z from "zod";

import { Agent, pause, PauseError, type Review, waitForResume } from "../src/index.js";
import { after, AnswerError, approved, decided, expired, run } from "../src/testing/index.js";

const agentOf = (work: () => unknown) => new Agent({ name: "a" }).function("f", work);
const decisionOf = (review: Review) => review.decision;

test("a review says what was decided", async () => {
  const agent = agentOf(async () => {
    const review = await pause({ approvalRequestId: "x" });
    assert.ok(review.decidedAt instanceof Date);
    return { ...review, decidedAt: review.decidedAt.toISOString() };
  });
  const { result } = await run(agent, "f", null, { answers: [approved({ feedback: "good", reviewer: "Ada" })] });
  assert.deepEqual(result, {
    decision: "approved",
    feedback: "good",
    reviewer: "Ada",
    decidedAt: "2026-01-01T00:00:00.000Z",
    votes: [],
    approved: true,
    rejected: false,
    changesRequested: false,
    expired: false,
  });
});

test("a form is checked and typed", async () => {
  const form = z.object({ amount: z.number(), note: z.string().default("none") });
  const agent = agentOf(async () => {
    const review = await pause({ approvalRequestId: "x", responseSchema: form });
    const amount: number | undefined = review.response?.amount;
    return { amount, note: review.response?.note };
  });
  const { result, asks } = await run(agent, "f", null, { answers: [approved({ response: { amount: 3 } })] });
  assert.deepEqual(result, { amount: 3, note: "none" });
  assert.deepEqual(JSON.parse((asks[0] as { response_schema: string }).response_schema), {
    type: "object",
    properties: { amount: { type: "number" }, note: { type: "string", default: "none" } },
    required: ["amount"],
  });
});

test("a response that only the schema's code refuses is a PauseError", async () => {
  const even = z.object({ n: z.number().refine((n) => n % 2 === 0, "must be even") });
  const agent = agentOf(() => pause({ approvalRequestId: "x", responseSchema: even }));
  const { error, thrown } = await run(agent, "f", null, { answers: [approved({ response: { n: 3 } })] });
  assert.equal(error?.code, "pause_invalid_response");
  assert.match(error?.message ?? "", /n: must be even/);
  assert.ok(thrown instanceof PauseError);
});

test("a test cannot decide what a host would refuse", async () => {
  const form = z.object({ n: z.number() });
  const cases: [Parameters<typeof pause>[0], unknown, RegExp][] = [
    [{ approvalRequestId: "x" }, decided("maybe"), /the choices are approved, rejected, request_changes/],
    [{ approvalRequestId: "x", choices: ["yes"] }, approved(), /the choices are yes/],
    [{ approvalRequestId: "x", responseSchema: form as any }, approved(), /`approved` needs a `response`/],
    [{ approvalRequestId: "x", responseSchema: form as any }, approved({ response: {} }), /does not fit/],
    [{ approvalRequestId: "x" }, "yes", /a pause is answered by approved\(\)/],
  ];
  for (const [request, answer, message] of cases) {
    await assert.rejects(
      run(
        agentOf(() => pause(request)),
        "f",
        null,
        { answers: [answer] },
      ),
      (error: Error) => {
        return error instanceof AnswerError && message.test(error.message);
      },
    );
  }
});

test("a pause expires at its time and not before a decision that is earlier", async () => {
  const agent = agentOf(async () => {
    const late = await pause({ approvalRequestId: "late", expiresInMs: 1_000 });
    const early = await pause({ approvalRequestId: "early", expiresInMs: 1_000 });
    return [late.decision, late.decidedAt.getTime() % 86_400_000, early.decision];
  });
  const { result } = await run(agent, "f", null, { answers: [after(1_001, approved()), after(999, approved())] });
  assert.deepEqual(result, ["expired", 1_000, "approved"]);
});

test("expired() lets a pause expire", async () => {
  const agent = agentOf(() => pause({ approvalRequestId: "x", expiresInHours: 24 }).then(({ expired }) => expired));
  const { result, journal } = await run(agent, "f", null, { answers: [expired()] });
  assert.equal(result, true);
  assert.equal(journal[0]!.at - Date.UTC(2026, 0, 1), 86_400_000);
});

test("waitForResume beside its pause is answered with it", async () => {
  const agent = agentOf(async () => {
    const both = [pause({ approvalRequestId: "x" }), waitForResume("x"), waitForResume("x", { timeoutMs: 10 })];
    return (await Promise.all(both)).map(decisionOf);
  });
  const { result } = await run(agent, "f", null, { answers: [after(50, approved())] });
  assert.deepEqual(result, ["approved", "approved", "expired"]);
});
