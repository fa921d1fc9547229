/** What a test answers an ask with, and what the agent is told then. */

import { AiError, CallError, PauseError } from "../errors.js";
import type { AnswerRecord, AskRecord, ReviewRecord } from "../journal.js";
import { check } from "../schema.js";
import { json, present } from "../values.js";

/** What a reviewer adds to a decision. */
export interface ReviewDetails {
  feedback?: string | undefined;
  /** The filled-in form. */
  response?: unknown;
  reviewer?: string | undefined;
}

/** A decision, as `approved` and its kin make it. */
export class Decision {
  readonly decision: string;
  readonly details: ReviewDetails;

  constructor(decision: string, details: ReviewDetails) {
    this.decision = decision;
    this.details = details;
  }
}

/** An answer that takes its time, or never comes. */
export class Delayed {
  readonly ms: number;
  readonly answer: unknown;

  constructor(ms: number, answer: unknown) {
    this.ms = ms;
    this.answer = answer;
  }
}

/** The reviewer approves. */
export function approved(details: string | ReviewDetails = {}): Decision {
  return decided("approved", details);
}

/** The reviewer rejects. */
export function rejected(details: string | ReviewDetails = {}): Decision {
  return decided("rejected", details);
}

/** The reviewer wants changes. */
export function changesRequested(details: string | ReviewDetails = {}): Decision {
  return decided("request_changes", details);
}

/** The reviewer decides so; a text is the feedback. */
export function decided(choice: string, details: string | ReviewDetails = {}): Decision {
  return new Decision(choice, typeof details === "string" ? { feedback: details } : details);
}

/** Nobody decides in time. */
export function expired(): Decision {
  return new Decision("expired", {});
}

/** This answer, but so much later. The clock jumps; nothing waits in truth. */
export function after(ms: number, answer: unknown): Delayed {
  return new Delayed(ms, answer);
}

/** No answer. A pause expires then, if it does, and a timeout ends. */
export function never(): Delayed {
  return new Delayed(Number.POSITIVE_INFINITY, undefined);
}

/** A test that is wrong: it answers what no host would. */
export class AnswerError extends Error {
  override name = "AnswerError";
}

/** What the agent is told. */
export function recordOf(ask: AskRecord, answer: unknown, now: number): AnswerRecord {
  mustFit(ask, answer);
  switch (ask.kind) {
    case "sleep":
      return "slept";
    case "ai":
      return { ai: answer instanceof AiError ? { Err: errorRecord(answer) } : completion(ask.schema, answer) };
    case "pause":
    case "wait_for_resume":
      if (answer instanceof PauseError) return { review: { Err: pauseErrorRecord(answer) } };
      return { review: { Ok: review(ask, answer, now) } };
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
    (answer instanceof PauseError && (ask.kind === "pause" || ask.kind === "wait_for_resume"));
  if (!fits) throw new AnswerError(`an ask of the kind ${ask.kind} cannot fail with ${answer.name}: ${answer.message}`);
}

function completion(schema: string | undefined, answer: unknown): { Ok: any } | { Err: any } {
  const text = typeof answer === "string" ? answer : json("the answer of a model", answer);
  const issues = schema === undefined ? undefined : misfit(schema, text);
  // The host asks models again that do not keep to the schema, and then gives up like this.
  if (issues) return { Err: { invalid_output: issues } };
  return { Ok: { text, model: "test", input_tokens: 0, output_tokens: 0 } };
}

/** What the host says of a text that does not satisfy a schema. */
function misfit(schema: string, text: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "the answer is no JSON";
  }
  const verdict = check(JSON.parse(schema) as Record<string, unknown>).check(value);
  return "issues" in verdict && verdict.issues ? verdict.issues.join("; ") : undefined;
}

const CHOICES: readonly string[] = ["approved", "rejected", "request_changes"];

function review(ask: AskRecord & { kind: "pause" | "wait_for_resume" }, answer: unknown, now: number): ReviewRecord {
  if (!(answer instanceof Decision)) {
    throw new AnswerError(
      `a pause is answered by approved(), rejected(), decided("…") or expired(), not by ${String(answer)}`,
    );
  }
  const { decision, details } = answer;
  if (ask.kind === "pause") mustBeTaken(ask.choices ?? CHOICES, ask.response_schema, answer);
  return present<ReviewRecord>({
    decision,
    feedback: details.feedback,
    response: details.response === undefined ? undefined : json("the response of a review", details.response),
    reviewer: details.reviewer,
    decided_at_ms: now,
  });
}

/** A host refuses a decision that is none of the choices, or whose form is not filled in as it must be. */
function mustBeTaken(choices: readonly string[], schema: string | undefined, { decision, details }: Decision): void {
  if (decision === "expired") return;
  if (!choices.includes(decision)) {
    throw new AnswerError(`no reviewer can decide \`${decision}\`: the choices are ${choices.join(", ")}`);
  }
  if (schema === undefined) return;
  if (details.response === undefined) {
    // Who says no need not fill it in.
    if (decision === "rejected" || decision === "request_changes") return;
    throw new AnswerError(`this pause has a form: \`${decision}\` needs a \`response\``);
  }
  const issues = misfit(schema, json("the response of a review", details.response));
  if (issues)
    throw new AnswerError(`no reviewer can send this response, which does not fit \`responseSchema\`: ${issues}`);
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
