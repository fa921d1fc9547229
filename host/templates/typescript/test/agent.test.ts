// Runs the agent without a host: the test gives the answers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { approved, run } from "countersign/testing";

import agent from "../src/agent.js";

test("an approved draft is returned", async () => {
  const done = await run(agent, "announce", { brief: "Night trains" }, { answers: ["All aboard!", approved()] });
  assert.deepEqual(done.result, { status: "approved", text: "All aboard!" });
  const review = done.asks[1];
  assert.ok(review?.kind === "pause" && review.title === "Publish this?");
});
