import assert from "node:assert/strict";
import { test } from "node:test";

import { approved, expired, rejected, run } from "countersign/testing";

import agent from "../src/agent.js";

const start = (answers: unknown[]) => run(agent, "publish_with_review", { brief: "Our spring sale" }, { answers });

test("what two people approve is published", async () => {
  const { result, asks } = await start(["A draft.", approved("Shorter."), "A post.", approved(), { published: true }]);
  assert.deepEqual(result, { status: "approved" });
  // The agents in Rust and Python ask this, byte for byte.
  assert.deepEqual(
    asks.map((ask) => JSON.stringify(ask)),
    [
      '{"kind":"ai","messages":[{"role":"system","content":"You are a senior copywriter."},' +
        '{"role":"user","content":"Our spring sale"}]}',
      '{"kind":"pause","approval_request_id":"draft-review",' +
        '"approval_request_url":"https://cms.example.com/review/draft","expires_in_ms":86400000}',
      '{"kind":"ai","messages":[{"role":"system","content":"Revise based on editorial feedback."},' +
        '{"role":"user","content":"Draft: A draft.\\nFeedback: Shorter."}]}',
      '{"kind":"pause","approval_request_id":"final-approval",' +
        '"approval_request_url":"https://cms.example.com/review/final","expires_in_ms":14400000}',
      '{"kind":"call","target":"publisher.publish","input":"{\\"content\\":\\"A post.\\"}"}',
    ],
  );
});

test("what the editor rejects is not revised", async () => {
  const { result, asks } = await start(["A draft.", rejected("Off topic.")]);
  assert.deepEqual(result, { status: "rejected", feedback: "Off topic." });
  assert.equal(asks.length, 2);
});

test("what the publisher does not sign off is not published", async () => {
  for (const [decision, status] of [
    [rejected(), "rejected"],
    [expired(), "expired"],
  ] as const) {
    const { result, asks } = await start(["A draft.", approved(), "A post.", decision]);
    assert.deepEqual(result, { status });
    assert.ok(asks.every(({ kind }) => kind !== "call"));
  }
});
