import { Ask, type AskOptions } from "./ask.js";
import { PauseError, pauseError } from "./errors.js";
import type { AnswerRecord, PauseAsk, ReviewRecord, WaitForResumeAsk } from "./journal.js";
import { check, type Check, type Checked, type Schema, type Verdict } from "./schema.js";
import { json, optionalMillis, optionalText, present, text } from "./values.js";

/** A request for a human decision. The bounds are the host's. */
export interface PauseRequest extends AskOptions {
  /**
   * Names the approval within this execution: 1 to 128 of the characters `A-Z a-z 0-9 . _ ~ -`. An execution pauses
   * under an id once; `waitForResume` comes back to it.
   */
  approvalRequestId: string;
  /** The reviewer's own page, if there is one; at most 2,048 bytes. */
  approvalRequestUrl?: string | undefined;
  /** How long the decision may take, at most 366 days; otherwise for ever. After it the decision is `expired`. */
  expiresInHours?: number | undefined;
  /** The same in milliseconds. */
  expiresInMs?: number | undefined;
  /** One line for the reviewer; at most 512 bytes. */
  title?: string | undefined;
  /** What the reviewer is to judge: any JSON. */
  payload?: unknown;
  /** The decisions to choose from, at most 32; otherwise `approved`, `rejected` and `request_changes`. */
  choices?: readonly string[] | undefined;
}

/** A human's decision. */
export interface Review<Response = unknown> {
  /** One of the choices; or `expired`, if nobody decided in time. */
  readonly decision: string;
  /** What the reviewer had to say. */
  readonly feedback: string | undefined;
  /** The filled-in form. */
  readonly response: Response | undefined;
  /** Who decided, as far as it is known. */
  readonly reviewer: string | undefined;
  readonly decidedAt: Date;
  /** Whether the decision is `approved`. */
  readonly approved: boolean;
  /** Whether the decision is `rejected`. */
  readonly rejected: boolean;
  /** Whether the decision is `request_changes`. */
  readonly changesRequested: boolean;
  /** Whether nobody decided in time. */
  readonly expired: boolean;
}

/**
 * Waits for a human decision, for as long as it takes.
 *
 * With a `responseSchema` the reviewer is given a form, and the review's `response` is what it was filled in with.
 */
export function pause<const S extends Schema>(request: PauseRequest & { responseSchema: S }): Ask<Review<Checked<S>>>;
export function pause(request: PauseRequest & { responseSchema?: undefined }): Ask<Review>;
export function pause(request: PauseRequest & { responseSchema?: Schema | undefined }): Ask<Review> {
  let form: Check<unknown> | undefined;
  return Ask.ask(
    () => {
      form = request.responseSchema === undefined ? undefined : check(request.responseSchema);
      return pauseAsk(request, form?.json);
    },
    (answer) => review(decided(answer), form),
    request,
  );
}

/** How long, and for which form, `waitForResume` waits. */
export interface Reconnection extends AskOptions {
  /** At most 366 days; otherwise for ever. After it the decision is `expired`, and the approval stays open. */
  timeoutMs?: number | undefined;
}

/**
 * Reconnects to an approval of this execution: answers at once if it is decided, else waits.
 *
 * An approval that does not exist yet is opened, with the default choices.
 */
export function waitForResume<const S extends Schema>(
  approvalRequestId: string,
  options: Reconnection & { responseSchema: S },
): Ask<Review<Checked<S>>>;
export function waitForResume(
  approvalRequestId: string,
  options?: Reconnection & { responseSchema?: undefined },
): Ask<Review>;
export function waitForResume(
  approvalRequestId: string,
  options: Reconnection & { responseSchema?: Schema | undefined } = {},
): Ask<Review> {
  let form: Check<unknown> | undefined;
  return Ask.ask(
    () => {
      form = options.responseSchema === undefined ? undefined : check(options.responseSchema);
      return present<WaitForResumeAsk>({
        kind: "wait_for_resume",
        approval_request_id: text("waitForResume: approvalRequestId", approvalRequestId),
        timeout_ms: optionalMillis("waitForResume: timeoutMs", options.timeoutMs),
      });
    },
    (answer) => review(decided(answer), form),
    options,
  );
}

const HOUR_MS = 60 * 60 * 1000;

function pauseAsk(request: PauseRequest, responseSchema: string | undefined): PauseAsk {
  const choices = request.choices?.map((choice) => text("pause: a choice", choice));
  return present<PauseAsk>({
    kind: "pause",
    approval_request_id: text("pause: approvalRequestId", request.approvalRequestId),
    approval_request_url: optionalText("pause: approvalRequestUrl", request.approvalRequestUrl),
    expires_in_ms: expiry(request),
    title: optionalText("pause: title", request.title),
    payload: request.payload === undefined ? undefined : json("pause: payload", request.payload),
    response_schema: responseSchema,
    choices: choices && choices.length > 0 ? choices : undefined,
  });
}

function expiry({ expiresInHours, expiresInMs }: PauseRequest): number | undefined {
  if (expiresInHours != null && expiresInMs != null) {
    throw new TypeError("pause: give `expiresInHours` or `expiresInMs`, not both");
  }
  if (expiresInHours == null) return optionalMillis("pause: expiresInMs", expiresInMs);
  if (typeof expiresInHours !== "number" || !(expiresInHours >= 0)) {
    throw new TypeError("pause: expiresInHours must be a number of hours, 0 or more");
  }
  return optionalMillis("pause: expiresInHours", expiresInHours * HOUR_MS);
}

function decided(answer: AnswerRecord): ReviewRecord {
  if (typeof answer === "string" || !("review" in answer)) throw new Error("the host gave an answer of another kind");
  if ("Err" in answer.review) throw pauseError(answer.review.Err);
  return answer.review.Ok;
}

function review(record: ReviewRecord, form: Check<unknown> | undefined): Review | Promise<Review> {
  const response: unknown = record.response === undefined ? undefined : JSON.parse(record.response);
  if (response === undefined || !form) return reviewOf(record, response);
  const verdict = form.check(response);
  const finish = (found: Verdict<unknown>) => reviewOf(record, accepted(found));
  return verdict instanceof Promise ? verdict.then(finish) : finish(verdict);
}

function accepted<T>(verdict: Verdict<T>): T {
  if (!verdict.issues) return verdict.value;
  throw new PauseError(
    "invalid_response",
    `the response does not fit \`responseSchema\`: ${verdict.issues.join("; ")}`,
  );
}

function reviewOf<R>(record: ReviewRecord, response: R): Review<R> {
  return {
    decision: record.decision,
    feedback: record.feedback,
    response,
    reviewer: record.reviewer,
    decidedAt: new Date(record.decided_at_ms),
    approved: record.decision === "approved",
    rejected: record.decision === "rejected",
    changesRequested: record.decision === "request_changes",
    expired: record.decision === "expired",
  };
}
