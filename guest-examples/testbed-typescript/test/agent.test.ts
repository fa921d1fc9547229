/** Every function that ends, answered in several orders; `run` replays each from its own journal. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { after, type AskRecord, approved, run } from "countersign/testing";

import agent from "../src/agent.js";

/** Every function that ends by itself, with an input, and what it ends with: a result's part, or an error's code. */
const CASES: [name: string, input: unknown, end: object | string][] = [
  ["echo", { a: [1, 2.5, "ü"] }, { a: [1, 2.5, "ü"] }],
  ["all", null, { answers: ["echo: a", "echo: b", "echo: c"] }],
  ["all_settled", null, [{ ok: "echo: a" }, { ok: { x: 1 } }, { error: "RangeError: no" }]],
  ["any", null, {}],
  ["race", { timeoutMs: 1_000 }, {}],
  ["fan_out", { target: "a.b", inputs: [1, "2", null] }, [1, "2", null]],
  [
    "stream",
    null,
    [
      ["echo: a", "echo: a"],
      ["echo: b", "echo: b"],
      ["echo: c", "echo: c"],
    ],
  ],
  ["forgotten", null, {}],
  ["timeout", { ms: 20 }, { decision: "approved" }],
  ["timeout_work", { ms: 20 }, {}],
  ["signal_timeout", { ms: 20 }, {}],
  ["abort", null, { answer: "echo: a", last: "echo: b" }],
  ["abandon", null, { first: "AbortError", second: "echo: a" }],
  ["structured", null, { zod: { error: "ai_invalid_output" }, stars: [0, 0] }],
  ["prompt", null, { text: "echo: Go on." }],
  ["many_ai", { count: 5 }, { count: 5, last: "echo: tick 4" }],
  ["pause_once", { title: "T", payload: { x: 1 } }, { decision: "approved", feedback: "Shorter." }],
  ["form", null, { decision: "approved" }],
  ["pauses", { count: 4 }, ["approved", "approved", "approved", "approved"]],
  ["approve", { title: "T", stages: [{ required: 2 }] }, { decision: "approved", reviewer: "somebody" }],
  ["two_of_three", null, { decision: "approved", response: { euros: 5 } }],
  ["rounds", { n: 3 }, ["approved", "approved", "approved"]],
  ["link_then_pause", {}, { link: "https://countersign.invalid/r/only/ana", review: { decision: "approved" } }],
  ["wait", { id: "x" }, { decision: "approved" }],
  ["pauses_and_wait", null, ["approved", "approved", "approved"]],
  ["announce", null, { decision: "approved" }],
  ["sleep", { ms: 30 }, { sleptMs: 30 }],
  ["ticks", { count: 25 }, { count: 25 }],
  ["timers", null, {}],
  ["interval", null, { answer: "echo: meanwhile", ticks: 3 }],
  ["clock", null, {}],
  ["chance", null, {}],
  ["chance_in_asks", null, {}],
  ["log", { lines: 3 }, { lines: 3 }],
  ["globals", null, { text: "aé世🌍", broken: "a��b", cloned: true }],
  ["call", { target: "a.b", input: { x: 1 } }, { ok: { x: 1 } }],
  ["fail", null, "refused"],
  ["throw_after_ai", null, "TypeError"],
  ["throw_class", null, "OutOfStock"],
  ["throw_text", null, "Error"],
  ["throw_in_timer", null, "OutOfStock"],
  ["uncaught_call", null, "TypeError"],
  ["catch_across", null, {}],
  ["typed", { amount: 2, tags: ["a", "b"] }, { doubled: 4, tags: "a,b" }],
  ["no_json", null, "invalid_result"],
  ["stuck", null, "stuck"],
];

/** What the tests of the host answer, too. */
function answer(ask: AskRecord): unknown {
  switch (ask.kind) {
    case "ai":
      return `echo: ${ask.messages.at(-1)?.content}`;
    case "call":
      return JSON.parse(ask.input);
    case "pause":
    case "wait_for_resume": {
      const hasForm = ask.kind === "pause" && ask.response_schema !== undefined;
      return approved({ feedback: "Shorter.", response: hasForm ? { amount: 3 } : undefined });
    }
    case "review_link":
    case "sleep":
      return undefined;
  }
}

/** How long the answer to an ask takes, in milliseconds. */
const ORDERS: Record<string, (op: number) => number> = {
  "oldest first": () => 0,
  "newest first": (op) => 40 - op,
  mixed: (op) => (op * 7_919) % 43,
};

for (const [name, input, end] of CASES) {
  for (const [order, delay] of Object.entries(ORDERS)) {
    test(`${name} ends and replays, answered ${order}`, async () => {
      const answers = (ask: AskRecord, op: number) =>
        ask.kind === "sleep" ? undefined : after(delay(op), answer(ask));
      const { result, error } = await run(agent, name, input, { answers });
      if (typeof end === "string") assert.equal(error?.code, end);
      else {
        assert.equal(error, undefined);
        assert.deepEqual(part(result, end), end);
      }
    });
  }
}

test("every function of the agent is tested, but those that never end", () => {
  const tested = new Set(CASES.map(([name]) => name));
  const untested = agent
    .manifest()
    .functions.map(({ name }) => name)
    .filter((name) => !tested.has(name));
  assert.deepEqual(untested, ["spin", "grow", "recurse"]);
});

test("a request is asked as it is given, and the review has every vote", async () => {
  const request = {
    approval_request_id: "contract",
    approval_request_url: "https://x.example",
    expires_in_ms: 9_000,
    default_decision: "rejected",
    title: "T",
    payload: { n: 1 },
    editable: true,
    response_schema: { type: "object" },
    choices: ["approved", "rejected"],
    feedback_required: ["rejected"],
    stages: [
      { reviewers: ["@legal"], required: 2 },
      { reviewers: [], required: 1 },
    ],
    rejection: "majority",
    forbid_self_approval: true,
    reminders_ms: [1_000],
    escalations: [{ after_ms: 2_000, reviewers: ["@leads"], notify: ["pager"] }],
    notify: ["legal-slack"],
  };
  const votes = ["kim", "lee", "max"].map((reviewer) => approved({ reviewer }));
  const { result, asks } = await run(agent, "approve", request, { answers: [approved({ votes })] });
  const ask = asks[0] as AskRecord & { kind: "pause" };
  const read = { payload: JSON.parse(ask.payload!), response_schema: JSON.parse(ask.response_schema!) };
  assert.deepEqual({ ...ask, ...read }, { kind: "pause", ...request });
  assert.deepEqual([result.decision, result.response], ["approved", { n: 1 }]);
  assert.deepEqual(
    result.votes.map(({ stage }: { stage: number }) => stage),
    [0, 0, 1],
  );
});

/** Of a value those parts that another has. */
function part(value: any, like: any): unknown {
  if (typeof like !== "object" || like === null || Array.isArray(like)) return value;
  return Object.fromEntries(Object.keys(like).map((key) => [key, part(value[key], like[key])]));
}
