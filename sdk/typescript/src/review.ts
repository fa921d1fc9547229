import { PauseError, pauseError } from "./errors.js";
import type { AnswerRecord, ReviewRecord, VoteRecord } from "./journal.js";
import type { Check, Verdict } from "./schema.js";

/** A human's decision. */
export interface Review<Response = unknown> {
  /** One of the choices; or `expired`, if nobody decided in time and the pause had no default decision. */
  readonly decision: string;
  /** What the reviewer had to say; of several, the last one. */
  readonly feedback: string | undefined;
  /** The filled-in form, or the payload as it was approved, if it could be edited. */
  readonly response: Response | undefined;
  /** Who decided, as far as it is known; of several, the last one. Undefined if it was nobody: the time ran out. */
  readonly reviewer: string | undefined;
  readonly decidedAt: Date;
  /** What each reviewer decided, oldest first, if the pause said who decides; else empty. */
  readonly votes: readonly Vote<Response>[];
  /** Whether the decision is `approved`. */
  readonly approved: boolean;
  /** Whether the decision is `rejected`. */
  readonly rejected: boolean;
  /** Whether the decision is `request_changes`. */
  readonly changesRequested: boolean;
  /** Whether nobody decided in time. A default decision is that decision, of no reviewer. */
  readonly expired: boolean;
}

/** What one reviewer decided, of several who were asked. */
export interface Vote<Response = unknown> {
  readonly reviewer: string;
  /** Whether the name is only what the sender of a signed webhook said. */
  readonly claimed: boolean;
  /** The stage at which it counted, from 0. */
  readonly stage: number;
  readonly decision: string;
  readonly feedback: string | undefined;
  readonly response: Response | undefined;
  readonly votedAt: Date;
}

export function decided(answer: AnswerRecord): ReviewRecord {
  if (typeof answer === "string" || !("review" in answer)) throw new Error("the host gave an answer of another kind");
  if ("Err" in answer.review) throw pauseError(answer.review.Err);
  return answer.review.Ok;
}

/** The review that a decision is. Its responses are checked by the form. */
export function review(record: ReviewRecord, form: Check<unknown> | undefined): Review | Promise<Review> {
  const votes = record.votes ?? [];
  const responses = [record, ...votes].map(({ response }) => checked(response, form));
  const finish = ([response, ...others]: unknown[]) =>
    reviewOf(
      record,
      response,
      votes.map((vote, at) => voteOf(vote, others[at])),
    );
  return responses.some((response) => response instanceof Promise)
    ? Promise.all(responses).then(finish)
    : finish(responses);
}

function checked(text: string | undefined, form: Check<unknown> | undefined): unknown {
  if (text === undefined) return undefined;
  const response: unknown = JSON.parse(text);
  const verdict = form ? form.check(response) : { value: response };
  return verdict instanceof Promise ? verdict.then(accepted) : accepted(verdict);
}

function accepted<T>(verdict: Verdict<T>): T {
  if (!verdict.issues) return verdict.value;
  throw new PauseError(
    "invalid_response",
    `the response does not fit \`responseSchema\`: ${verdict.issues.join("; ")}`,
  );
}

function voteOf<R>(record: VoteRecord, response: R): Vote<R> {
  return {
    reviewer: record.reviewer,
    claimed: record.claimed === true,
    stage: record.stage,
    decision: record.decision,
    feedback: record.feedback,
    response,
    votedAt: new Date(record.voted_at_ms),
  };
}

function reviewOf<R>(record: ReviewRecord, response: R, votes: Vote<R>[]): Review<R> {
  return {
    decision: record.decision,
    feedback: record.feedback,
    response,
    reviewer: record.reviewer,
    decidedAt: new Date(record.decided_at_ms),
    votes,
    approved: record.decision === "approved",
    rejected: record.decision === "rejected",
    changesRequested: record.decision === "request_changes",
    expired: record.decision === "expired",
  };
}
