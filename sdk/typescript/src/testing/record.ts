/** What an agent is told when a test answers its asks. */

import { AiError, CallError, PauseError } from "../errors.js";
import type { AnswerRecord, AskRecord, PauseAsk, ReviewRecord, WaitForResumeAsk } from "../journal.js";
import { json } from "../values.js";
import { AnswerError, Decision } from "./answers.js";
import { misfitOf, reviewOf } from "./review.js";

/** An answer that somebody who waited for the same was given before. */
export class Known {
  readonly review: ReviewRecord;

  constructor(review: ReviewRecord) {
    this.review = review;
  }
}

/**
 * What the agent is told.
 *
 * @param by The pause that is decided, which a wait may wait for; none: one that asks for nothing in particular.
 */
export function recordOf(ask: AskRecord, answer: unknown, now: number, by?: PauseAsk): AnswerRecord {
  mustFit(ask, answer);
  switch (ask.kind) {
    case "sleep":
      return "slept";
    case "ai":
      return { ai: answer instanceof AiError ? { Err: errorRecord(answer) } : completion(ask.schema, answer) };
    case "pause":
    case "wait_for_resume":
      if (answer instanceof PauseError) return { review: { Err: pauseErrorRecord(answer) } };
      return { review: { Ok: review(ask, answer, now, by) } };
    case "review_link":
      if (answer instanceof PauseError) return { link: { Err: pauseErrorRecord(answer) } };
      return { link: { Ok: `https://countersign.invalid/r/${ask.approval_request_id}/${ask.reviewer}` } };
    case "call":
      if (answer instanceof CallError) return { call: { Err: callErrorRecord(answer) } };
      return { call: { Ok: json("the answer to a call", answer ?? null) } };
  }
}

/** A failure must be one that such an ask can have. */
function mustFit(ask: AskRecord, answer: unknown): void {
  if (!(answer instanceof Error)) return;
  const fits =
    (answer instanceof AiError && ask.kind === "ai") ||
    (answer instanceof CallError && ask.kind === "call") ||
    (answer instanceof PauseError && ["pause", "wait_for_resume", "review_link"].includes(ask.kind));
  if (!fits) throw new AnswerError(`an ask of the kind ${ask.kind} cannot fail with ${answer.name}: ${answer.message}`);
}

function completion(schema: string | undefined, answer: unknown): { Ok: any } | { Err: any } {
  const text = typeof answer === "string" ? answer : json("the answer of a model", answer);
  const issues = schema === undefined ? undefined : misfitOf(schema, text);
  // The host asks models again that do not keep to the schema, and then gives up like this.
  if (issues) return { Err: { invalid_output: issues } };
  return { Ok: { text, model: "test", input_tokens: 0, output_tokens: 0 } };
}

function review(ask: PauseAsk | WaitForResumeAsk, answer: unknown, now: number, by?: PauseAsk): ReviewRecord {
  if (answer instanceof Known) return answer.review;
  if (!(answer instanceof Decision)) {
    throw new AnswerError(
      `a pause is answered by approved(), rejected(), decided("…") or expired(), not by ${String(answer)}`,
    );
  }
  return reviewOf(by ?? { kind: "pause", approval_request_id: ask.approval_request_id }, answer, now);
}

function errorRecord({ kind, message }: AiError): any {
  return kind === "rate_limited" || kind === "budget_exhausted" ? kind : { [kind]: message };
}

function pauseErrorRecord({ kind, message }: PauseError): any {
  if (kind === "invalid_response") throw new AnswerError("the host never answers `invalid_response`: this SDK does");
  return { [kind]: message };
}

function callErrorRecord({ kind, message, error }: CallError): any {
  if (kind === "cancelled") return kind;
  return { [kind]: kind === "failed" ? json("the error of a call", error ?? null) : message };
}
