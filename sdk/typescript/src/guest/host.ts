/** The real host, from inside a component. */

import * as host from "countersign:agent/host-blocking@0.1.0";
import type {
  Variant,
  WitAnswer,
  WitApprovalRequest,
  WitAsk,
  WitReview,
  WitVote,
} from "countersign:agent/host-blocking@0.1.0";
import * as clock from "wasi:clocks/monotonic-clock@0.3.0";

import type { Host } from "../execution.js";
import type {
  AiErrorRecord,
  AnswerRecord,
  AskRecord,
  CallErrorRecord,
  PauseAsk,
  PauseErrorRecord,
  ReviewRecord,
  VoteRecord,
} from "../journal.js";
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
      return { tag: "pause", val: request(ask) };
    case "wait_for_resume":
      return {
        tag: "wait-for-resume",
        val: { approvalRequestId: ask.approval_request_id, timeoutMs: ask.timeout_ms },
      };
    case "review_link":
      return {
        tag: "review-link",
        val: { approvalRequestId: ask.approval_request_id, reviewer: ask.reviewer },
      };
    case "call":
      return { tag: "call", val: { target: ask.target, input: ask.input } };
    case "sleep":
      return { tag: "sleep", val: ask.duration_ms };
  }
}

function request(ask: PauseAsk): WitApprovalRequest {
  return {
    approvalRequestId: ask.approval_request_id,
    approvalRequestUrl: ask.approval_request_url,
    expiresInMs: ask.expires_in_ms,
    defaultDecision: ask.default_decision,
    title: ask.title,
    payload: ask.payload,
    editable: ask.editable === true,
    responseSchema: ask.response_schema,
    choices: [...(ask.choices ?? [])],
    feedbackRequired: [...(ask.feedback_required ?? [])],
    stages: (ask.stages ?? []).map(({ reviewers, required }) => ({ reviewers: [...reviewers], required })),
    rejection: ask.rejection ?? "first",
    forbidSelfApproval: ask.forbid_self_approval === true,
    remindersMs: [...(ask.reminders_ms ?? [])],
    escalations: (ask.escalations ?? []).map(({ after_ms, reviewers, notify }) => ({
      afterMs: after_ms,
      reviewers: [...(reviewers ?? [])],
      notify: [...(notify ?? [])],
    })),
    notify: [...(ask.notify ?? [])],
  };
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
      return { review: { Ok: review(answer.val.val) } };
    }
    case "link":
      if (answer.val.tag === "err") return { link: { Err: error(answer.val.val) as PauseErrorRecord } };
      return { link: { Ok: answer.val.val } };
    case "call":
      if (answer.val.tag === "err") return { call: { Err: error(answer.val.val) as CallErrorRecord } };
      return { call: { Ok: answer.val.val } };
    case "sleep":
      return "slept";
  }
}

function review({ decision, feedback, response, reviewer, decidedAtMs, votes }: WitReview): ReviewRecord {
  return present<ReviewRecord>({
    decision,
    feedback: feedback ?? undefined,
    response: response ?? undefined,
    reviewer: reviewer ?? undefined,
    decided_at_ms: decidedAtMs,
    votes: votes.length > 0 ? votes.map(vote) : undefined,
  });
}

function vote({ reviewer, claimed, stage, decision, feedback, response, votedAtMs }: WitVote): VoteRecord {
  return present<VoteRecord>({
    reviewer,
    claimed: claimed ? true : undefined,
    stage,
    decision,
    feedback: feedback ?? undefined,
    response: response ?? undefined,
    voted_at_ms: votedAtMs,
  });
}

/** `{tag: "not-found", val: "…"}` as the journal has it: `{not_found: "…"}`, or the name alone. */
function error({ tag, val }: Variant): unknown {
  const name = tag.replaceAll("-", "_");
  return val == null ? name : { [name]: val };
}
