/** The real host, from inside a component. */

import * as host from "countersign:agent/host-blocking@0.1.0";
import type { Variant, WitAnswer, WitAsk } from "countersign:agent/host-blocking@0.1.0";
import * as clock from "wasi:clocks/monotonic-clock@0.3.0";

import type { Host } from "../execution.js";
import type { AiErrorRecord, AnswerRecord, AskRecord, CallErrorRecord, PauseErrorRecord } from "../journal.js";
import { present } from "../values.js";
import { writeError } from "./output.js";

export const componentHost: Host = {
  get executionId() {
    return host.executionId();
  },
  // Returns once every promise that could go on has gone on: the host has it wait for no time at all, but last.
  settle: () => clock.waitFor(0),
  submit: (ask) => host.submit(toWit(ask)),
  waitAny(ops) {
    const [op, answer] = host.waitAny(ops);
    return [op, fromWit(answer)];
  },
  abandon: (op) => host.abandon(op),
  complain: writeError,
};

function toWit(ask: AskRecord): WitAsk {
  switch (ask.kind) {
    case "ai":
      return {
        tag: "ai",
        val: {
          messages: ask.messages.map(({ role, content }) => ({ role, content })),
          model: ask.model,
          schema: ask.schema,
          temperature: ask.temperature,
          maxTokens: ask.max_tokens,
        },
      };
    case "pause":
      return {
        tag: "pause",
        val: {
          approvalRequestId: ask.approval_request_id,
          approvalRequestUrl: ask.approval_request_url,
          expiresInMs: ask.expires_in_ms,
          title: ask.title,
          payload: ask.payload,
          responseSchema: ask.response_schema,
          choices: [...(ask.choices ?? [])],
        },
      };
    case "wait_for_resume":
      return {
        tag: "wait-for-resume",
        val: { approvalRequestId: ask.approval_request_id, timeoutMs: ask.timeout_ms },
      };
    case "call":
      return { tag: "call", val: { target: ask.target, input: ask.input } };
    case "sleep":
      return { tag: "sleep", val: ask.duration_ms };
  }
}

function fromWit(answer: WitAnswer): AnswerRecord {
  switch (answer.tag) {
    case "ai": {
      if (answer.val.tag === "err") return { ai: { Err: error(answer.val.val) as AiErrorRecord } };
      const { text, model, usage } = answer.val.val;
      return { ai: { Ok: { text, model, input_tokens: usage.inputTokens, output_tokens: usage.outputTokens } } };
    }
    case "review": {
      if (answer.val.tag === "err") return { review: { Err: error(answer.val.val) as PauseErrorRecord } };
      const { decision, feedback, response, reviewer, decidedAtMs } = answer.val.val;
      const review = {
        decision,
        feedback: feedback ?? undefined,
        response: response ?? undefined,
        reviewer: reviewer ?? undefined,
        decided_at_ms: decidedAtMs,
      };
      return { review: { Ok: present<typeof review>(review) as { decision: string; decided_at_ms: number } } };
    }
    case "call":
      if (answer.val.tag === "err") return { call: { Err: error(answer.val.val) as CallErrorRecord } };
      return { call: { Ok: answer.val.val } };
    case "sleep":
      return "slept";
  }
}

/** `{tag: "not-found", val: "…"}` as the journal has it: `{not_found: "…"}`, or the name alone. */
function error({ tag, val }: Variant): unknown {
  const name = tag.replaceAll("-", "_");
  return val == null ? name : { [name]: val };
}
