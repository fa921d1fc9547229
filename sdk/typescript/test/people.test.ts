/** Who decides at a pause, when and with what; and that the host of tests takes what a host takes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import * as z from "zod";

import { Agent, pause, PauseError, type PauseRequest, reviewLink, type Review, waitForResume } from "../src/index.js";
import { after, AnswerError, approved, changesRequested, type Decision } from "../src/testing/index.js";
import { expired, never, rejected, run } from "../src/testing/index.js";

const agentOf = (work: () => unknown) => new Agent({ name: "a" }).function("f", work);
type Request = Omit<PauseRequest, "approvalRequestId"> & { responseSchema?: any };

/** What an agent is told when it pauses like this, and what it asked. */
async function reviewed(
  answer: object | undefined,
  request: Request,
): Promise<{ review: Review; asks: readonly any[] }> {
  let review: Review | undefined;
  const agent = agentOf(async () => void (review = await pause({ approvalRequestId: "x", ...request })));
  const { asks, thrown } = await run(agent, "f", null, { answers: answer ? [answer] : [] });
  if (thrown) throw thrown;
  return { review: review!, asks };
}

const refused = (answer: Decision, request: Request, why: RegExp) =>
  assert.rejects(reviewed(answer, request), (error) => error instanceof AnswerError && why.test(error.message));

/** Two people of legal's, and then one of two by name. */
const contract: Request = { stages: [{ reviewers: ["@legal"], required: 2 }, { reviewers: ["ana", "bo"] }] };
const by = (...names: string[]) => names.map((reviewer) => approved({ reviewer }));

test("a pause has the form of the journal", async () => {
  const { asks } = await reviewed(never(), {
    ...contract,
    payload: "text",
    editable: true,
    expiresInHours: 4,
    defaultDecision: "rejected",
    feedbackRequired: ["rejected"],
    rejection: "majority",
    forbidSelfApproval: true,
    remindAfterMs: [3_600_000],
    escalations: [
      { afterMs: 7_200_000, reviewers: ["@leads"] },
      { afterMs: 0.5, notify: ["pager"] },
    ],
    notify: ["legal-slack"],
  });
  const expected =
    '{"kind":"pause","approval_request_id":"x","expires_in_ms":14400000,"default_decision":"rejected",' +
    '"payload":"\\"text\\"","editable":true,"feedback_required":["rejected"],' +
    '"stages":[{"reviewers":["@legal"],"required":2},{"reviewers":["ana","bo"],"required":1}],' +
    '"rejection":"majority","forbid_self_approval":true,"reminders_ms":[3600000],' +
    '"escalations":[{"after_ms":7200000,"reviewers":["@leads"]},{"after_ms":1,"notify":["pager"]}],' +
    '"notify":["legal-slack"]}';
  assert.equal(JSON.stringify(asks[0]), expected);
});

test("reviewers are one stage, and what says nothing is left out", async () => {
  const stages = async (request: Request) => (await reviewed(approved(), request)).asks[0].stages;
  assert.deepEqual(await stages({ reviewers: ["ana", "@legal"], required: 2 }), [
    { reviewers: ["ana", "@legal"], required: 2 },
  ]);
  assert.deepEqual(await stages({ required: 2 }), [{ reviewers: [], required: 2 }]);
  const nothing: Request = { editable: false, rejection: "first", forbidSelfApproval: false, stages: [], notify: [] };
  const { asks } = await reviewed(approved(), nothing);
  assert.deepEqual(asks, [{ kind: "pause", approval_request_id: "x" }]);
});

test("one decision stands for everybody's", async () => {
  const { review } = await reviewed(approved({ reviewer: "bo", feedback: "Go." }), contract);
  const { decidedAt: votedAt } = review;
  const vote = { reviewer: "bo", claimed: false, stage: 1, decision: "approved", feedback: "Go.", response: undefined };
  assert.deepEqual([review.reviewer, review.feedback, review.votes], ["bo", "Go.", [{ ...vote, votedAt }]]);
  const { review: refusal } = await reviewed(rejected(), contract);
  assert.deepEqual([refusal.reviewer, refusal.votes[0]?.stage], ["somebody", 0]);
  assert.equal((await reviewed(approved(), { forbidSelfApproval: true })).review.votes.length, 1);
});

test("votes count at the stage that they come to, and the last one is the review's", async () => {
  const votes = ["kim", "lee", "ana"].map((reviewer) => approved({ reviewer, feedback: `${reviewer} agrees.` }));
  const { review } = await reviewed(approved({ votes }), contract);
  assert.deepEqual(
    review.votes.map(({ stage }) => stage),
    [0, 0, 1],
  );
  assert.deepEqual([review.reviewer, review.feedback], ["ana", "ana agrees."]);
});

test("a majority is that of those who are left to vote", async () => {
  const [ana, bo, cy] = ["ana", "bo", "cy"].map((reviewer) => rejected({ reviewer })) as [Decision, Decision, Decision];
  const board: Request = { reviewers: ["ana", "bo", "cy"], rejection: "majority" };
  const decision = async (answer: Decision, request: Request) => (await reviewed(answer, request)).review.decision;
  assert.equal(await decision(rejected({ votes: [ana, ...by("bo"), cy] }), { ...board, required: 2 }), "rejected");
  assert.equal(await decision(rejected({ votes: [ana, bo] }), { required: 2, rejection: "majority" }), "rejected");
  assert.equal(await decision(approved({ votes: [ana, ...by("bo")] }), board), "approved");
  // Who is in a group only a host knows.
  const group: Request = { reviewers: ["@board"], rejection: "majority" };
  assert.equal(await decision(rejected({ votes: [ana, bo] }), group), "rejected");
  await refused(rejected({ votes: [ana] }), board, /do not lead to `rejected`, but to nothing yet/);
});

test("a test cannot vote as no host would let it", async () => {
  await refused(approved({ votes: by("kim", "lee") }), contract, /do not lead to `approved`, but to nothing yet/);
  await refused(approved({ votes: by("kim", "Kim") }), contract, /Kim votes twice/);
  await refused(approved({ votes: by("kim", "lee", "max") }), contract, /max is not asked at stage 1/);
  await refused(
    rejected({ votes: [rejected({ reviewer: "kim" }), ...by("lee")] }),
    contract,
    /decided before lee voted/,
  );
  await refused(approved({ votes: [approved()] }), contract, /a vote has no reviewer/);
  await refused(approved({ votes: by("kim") }), {}, /the pause does not say who decides/);
  await refused(approved({ feedback: "!", votes: by("ana") }), { reviewers: ["ana"] }, /has nothing else/);
  await refused(rejected(" "), { feedbackRequired: ["rejected"] }, /`rejected` needs feedback/);
});

test("what is approved as it was is the response, of the form's type", async () => {
  const form = z.object({ to: z.string(), cents: z.number().default(5) });
  const agent = agentOf(async () => {
    const review = await pause({
      approvalRequestId: "x",
      payload: { to: "ana" },
      editable: true,
      responseSchema: form,
      reviewers: ["kim"],
    });
    const cents: number | undefined = review.response?.cents;
    return [cents, review.response?.to, review.votes[0]?.response?.to];
  });
  const result = async (answer: Decision) => (await run(agent, "f", null, { answers: [answer] })).result;
  assert.deepEqual(await result(approved()), [5, "ana", "ana"]);
  assert.deepEqual(await result(approved({ response: { to: "bo", cents: 7 } })), [7, "bo", "bo"]);
  assert.deepEqual(await result(changesRequested()), [null, null, null]);
  await refused(
    approved({ response: { to: 3 } }),
    { payload: {}, editable: true, responseSchema: form },
    /does not fit/,
  );
});

test("what a form has a default for may be left out", async () => {
  const responseSchema = {
    type: "object",
    properties: { euros: { type: "number", default: 5 }, item: { $ref: "#/$defs/item" } },
    $defs: { item: { properties: { count: { default: 1 } } } },
  };
  const response = async (answer: object, request: Request = {}) =>
    (await reviewed(answer, { responseSchema, ...request })).review.response;
  assert.deepEqual(await response(approved()), { euros: 5 });
  assert.deepEqual(await response(approved({ response: { item: {} } })), { item: { count: 1 }, euros: 5 });
  assert.equal(await response(rejected()), undefined);
  assert.deepEqual(await response(never(), { expiresInMs: 1, defaultDecision: "approved" }), { euros: 5 });
  const needed = { ...responseSchema, required: ["item"] };
  await refused(approved(), { responseSchema: needed }, /needs a `response`/);
  const byDefault: Request = { responseSchema: needed, expiresInMs: 1, defaultDecision: "approved" };
  assert.equal((await reviewed(never(), byDefault)).review.response, undefined);
});

test("a default decision is that of nobody, and the end of a wait is none", async () => {
  for (const late of [never(), after(2, approved()), expired()]) {
    const { review } = await reviewed(late, { expiresInMs: 1, defaultDecision: "rejected" });
    assert.deepEqual([review.decision, review.reviewer], ["rejected", undefined]);
  }
  const agent = agentOf(async () => {
    const gate = pause({ approvalRequestId: "x", expiresInMs: 2_000, defaultDecision: "rejected" });
    const reviews = await Promise.all([gate, waitForResume("x", { timeoutMs: 1_000 }), waitForResume("x")]);
    return reviews.map(({ decision }) => decision);
  });
  const { result } = await run(agent, "f", null, { answers: [never()] });
  assert.deepEqual(result, ["rejected", "expired", "rejected"]);
});

test("the second pause under a name has an id of its own", async () => {
  const agent = agentOf(async () => {
    const first = await pause({ approvalRequestId: "x" });
    await assert.rejects(pause({ approvalRequestId: "x", required: 0 }), PauseError);
    const second = await pause({ approvalRequestId: "x" });
    const waited = [await waitForResume("x"), await waitForResume("x#2")];
    const third = await Promise.all([pause({ approvalRequestId: "x" }), waitForResume("x#3")]);
    for (const none of ["x#1", "x#", "x#02", "a b#2", "x#200001", "x#2#2"]) {
      await assert.rejects(waitForResume(none), PauseError, none);
    }
    return [first, second, ...waited, ...third].map(({ decision }) => decision);
  });
  const { result, error } = await run(agent, "f", null, { answers: [approved(), rejected(), changesRequested()] });
  assert.equal(error, undefined);
  const third = "request_changes";
  assert.deepEqual(result, ["approved", "rejected", "approved", "rejected", third, third]);
});

test("the number of a refused pause is used up if another one has followed", async () => {
  const agent = agentOf(async () => {
    const asked = [pause({ approvalRequestId: "x", required: 0 }), pause({ approvalRequestId: "x" })];
    const [refusal, second] = await Promise.allSettled(asked);
    assert.deepEqual([refusal?.status, second?.status], ["rejected", "fulfilled"]);
    return (await waitForResume("x#2")).decision;
  });
  assert.equal((await run(agent, "f", null, { answers: [approved()] })).result, "approved");
});

test("a link needs no answer, but the id of a pause and a name", async () => {
  const { result, asks } = await run(
    agentOf(() => reviewLink("x#2", "ana")),
    "f",
  );
  assert.equal(result, "https://countersign.invalid/r/x#2/ana");
  assert.deepEqual(asks, [{ kind: "review_link", approval_request_id: "x#2", reviewer: "ana" }]);
  for (const [id, reviewer] of [
    ["a b", "ana"],
    ["x", ""],
    ["x", "@legal"],
  ] as const) {
    const { error } = await run(
      agentOf(() => reviewLink(id, reviewer)),
      "f",
    );
    assert.equal(error?.code, "pause_invalid_request", id + reviewer);
  }
});

test("a request out of bounds is refused by the name of its field", async () => {
  const many = (length: number) => Array.from({ length }, (_, i) => `r${i}`);
  const cases: [field: string, request: Request][] = [
    ["choices: ", { choices: ["expired"] }],
    ["feedback-required: ", { feedbackRequired: ["no"] }],
    ["default-decision: ", { defaultDecision: "expired" }],
    ["editable: ", { editable: true }],
    ["rejection: ", { rejection: "majority" }],
    ["stages: ", { stages: many(9).map(() => ({})) }],
    ["stages: ", { reviewers: many(65) }],
    ["stages: ", { reviewers: ["ana", "Ana"] }],
    ["stages: ", { reviewers: ["@Legal Department"] }],
    ["stages: ", { reviewers: ["ana"], required: 2 }],
    ["stages: ", { required: 0 }],
    ["reminders-ms: ", { remindAfterMs: many(17).map(() => 1) }],
    ["reminders-ms, escalations: ", { remindAfterMs: [367 * 24 * 3_600_000] }],
    ["escalations: ", { escalations: many(9).map(() => ({ afterMs: 1 })) }],
    ["escalations: ", { escalations: [{ afterMs: 1, reviewers: [" "] }] }],
    ["notify: ", { notify: many(9) }],
    ["escalations: notify: ", { escalations: [{ afterMs: 1, notify: ["a b"] }] }],
  ];
  for (const [field, request] of cases) {
    await assert.rejects(reviewed(undefined, request), (error: unknown) => {
      return error instanceof PauseError && error.kind === "invalid_request" && error.message.startsWith(field);
    });
  }
});
