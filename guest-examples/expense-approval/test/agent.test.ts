import assert from "node:assert/strict";
import { test } from "node:test";

import { AiError } from "countersign";
import { type AskRecord, approved, changesRequested, decided, expired, rejected, run } from "countersign/testing";

import agent from "../src/agent.js";

const claim = { employee: "Ada", purpose: "train to Jena", amount: 120, receipt: "https://receipts.example.com/7" };
const advice = { costCentre: "travel", concerns: [] };

test("a small claim is approved without asking anybody", async () => {
  const { result, asks } = await run(agent, "submit", { ...claim, amount: 50 });
  assert.deepEqual(result, {
    status: "approved",
    amount: 50,
    costCentre: "general",
    comment: null,
    decidedBy: "policy",
  });
  assert.deepEqual(asks, []);
});

test("an approver edits, then approves", async () => {
  const { result, asks } = await run(agent, "submit", claim, {
    answers: [advice, approved({ response: { amount: 100, comment: "second class" }, reviewer: "Grace" })],
  });
  const travel = { status: "approved", amount: 100, costCentre: "travel", comment: "second class", decidedBy: "Grace" };
  assert.deepEqual(result, travel);
  const form = JSON.parse((asks[1] as { response_schema: string }).response_schema);
  assert.equal(form.properties.amount.maximum, 120, "nobody approves more than was claimed");
  assert.equal(form.properties.costCentre.default, "travel");
});

test("a claim that is sent back is edited and decided again", async () => {
  const { result, asks } = await run(agent, "submit", claim, {
    answers: [
      advice,
      changesRequested({ response: { comment: "no bar bills" } }),
      decided("resubmit", { response: { amount: 90 } }),
      advice,
      approved({ reviewer: "Grace" }),
    ],
  });
  assert.equal(result.status, "approved");
  assert.equal(result.amount, 90);
  assert.deepEqual(
    asks.map((ask) => (ask.kind === "pause" ? ask.approval_request_id : ask.kind)),
    ["ai", "approval", "changes", "ai", "approval"],
  );
});

test("a large claim takes two of the board, and a deputy when they are away", async () => {
  const refused = rejected({ votes: [rejected({ reviewer: "Barbara", feedback: "private" })] });
  const large = { ...claim, amount: 2_400 };
  const { result, asks } = await run(agent, "submit", large, {
    answers: [advice, approved({ votes: [approved({ reviewer: "Grace" }), approved({ reviewer: "Joan" })] })],
  });
  assert.deepEqual([result.status, result.amount, result.decidedBy], ["approved", 2_400, "Grace, Joan"]);
  const { stages, reminders_ms, escalations } = asks[1] as AskRecord & { kind: "pause" };
  assert.deepEqual(stages, [{ reviewers: ["Barbara", "Grace", "Katherine"], required: 2 }]);
  assert.ok(reminders_ms!.every((wait) => wait < escalations![0]!.after_ms));

  const refusal = await run(agent, "submit", large, { answers: [advice, refused] });
  assert.deepEqual([refusal.result.status, refusal.result.comment], ["rejected", "private"]);
  const strangers = approved({ votes: [approved({ reviewer: "Grace" }), approved({ reviewer: "Ada" })] });
  await assert.rejects(run(agent, "submit", large, { answers: [advice, strangers] }), /Ada is not asked/);
});

test("a rejected, a withdrawn and a forgotten claim are paid nothing", async () => {
  const back = changesRequested({ response: {}, feedback: "?" });
  const cases: [unknown[], string][] = [
    [[advice, rejected({ response: {}, feedback: "private" })], "rejected"],
    [[advice, expired()], "expired"],
    [[advice, back, decided("withdraw", { response: {} })], "withdrawn"],
    [[advice, back, expired()], "expired"],
    [[1, 2, 3].flatMap(() => [advice, back, decided("resubmit", { response: {} })]), "rejected"],
  ];
  for (const [answers, status] of cases) {
    const { result } = await run(agent, "submit", claim, { answers });
    assert.equal(result.status, status);
    assert.equal(result.amount, 0);
  }
});

test("a model that fails does not hold up a claim", async () => {
  const { result, asks } = await run(agent, "submit", claim, {
    answers: [new AiError("unavailable", "down"), approved()],
  });
  assert.equal(result.status, "approved");
  assert.equal(JSON.parse((asks[1] as { payload: string }).payload).advice, null);
});

test("a claim that is none is refused, and the field is named", async () => {
  const { error } = await run(agent, "submit", { ...claim, amount: -1, receipt: "not a page" });
  assert.equal(error?.code, "invalid_input");
  assert.match(error?.message ?? "", /amount: .*receipt: /);
});
