import { approvers, type Escalation, escalationRecord, type Stage } from "./approval.js";
import { Ask, type AskOptions } from "./ask.js";
import { pauseError } from "./errors.js";
import type { PauseAsk, WaitForResumeAsk } from "./journal.js";
import { decided, type Review, review } from "./review.js";
import { check, type Check, type Checked, type Schema } from "./schema.js";
import {
  json,
  millis,
  optionalFlag,
  optionalList,
  optionalMillis,
  optionalText,
  optionalTexts,
  present,
  text,
} from "./values.js";

/** A request for a human decision. The bounds are the host's. */
export interface PauseRequest extends AskOptions {
  /**
   * Names the approval within this execution: 1 to 128 of the characters `A-Z a-z 0-9 . _ ~ -`. It is its id, too; the
   * second pause under a name has the id `name#2`, the third `name#3`. `waitForResume` comes back to it.
   */
  approvalRequestId: string;
  /** The reviewer's own page, if there is one; at most 2,048 bytes. */
  approvalRequestUrl?: string | undefined;
  /** How long the decision may take, at most 366 days; otherwise for ever. After it the decision is `expired`. */
  expiresInHours?: number | undefined;
  /** The same in milliseconds. */
  expiresInMs?: number | undefined;
  /** The choice that is taken if nobody decides in time, instead of `expired`. It has no reviewer then. */
  defaultDecision?: string | undefined;
  /** One line for the reviewer; at most 512 bytes. */
  title?: string | undefined;
  /** What the reviewer is to judge: any JSON. */
  payload?: unknown;
  /**
   * Whether the reviewer may change the payload, within the `responseSchema` if there is one. The review's `response` is
   * then the payload as it was approved, changed or not.
   */
  editable?: boolean | undefined;
  /**
   * The decisions to choose from, at most 32; otherwise `approved`, `rejected` and `request_changes`. The last two of
   * these refuse; every other choice approves.
   */
  choices?: readonly string[] | undefined;
  /** The choices that need feedback. */
  feedbackRequired?: readonly string[] | undefined;
  /**
   * Who decides: at most 64 reviewers by name, and groups of the tenant with an `@` before theirs. Otherwise the first
   * decision of whoever may decide for the tenant stands. An empty list is an error: nobody would mean everybody.
   */
  reviewers?: readonly string[] | undefined;
  /** How many of the reviewers must agree on a choice; otherwise one. */
  required?: number | undefined;
  /** Several of these in order, at most 8, instead: a stage begins when the one before has approved. */
  stages?: readonly Stage[] | undefined;
  /** What it takes to refuse: the `first` refusal, if nothing is said, or that of a `majority` of those who are asked. */
  rejection?: "first" | "majority" | undefined;
  /** Whether the one who started the execution may take no part. */
  forbidSelfApproval?: boolean | undefined;
  /** When to remind those who have not decided, counted from when the pause is opened; at most 16 times. */
  remindAfterMs?: readonly number[] | undefined;
  /** Whom else to ask when a decision is long in coming; at most 8 times. */
  escalations?: readonly Escalation[] | undefined;
  /** Names of endpoints of the tenant that are told of this pause, beside those that are told of every one; at most 8. */
  notify?: readonly string[] | undefined;
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
 * Reconnects to an approval of this execution by its id: answers at once if it is decided, else waits.
 *
 * The id of the second pause under a name ends in `#2`. An approval that does not exist yet is opened, with the default choices.
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

/**
 * Makes a link by which one reviewer can look at one pause of this execution and decide it, without a key.
 *
 * The pause need not be open yet. The link is good for 31 days, and no longer than the pause. Who has it can decide: give
 * it to nobody else.
 */
export function reviewLink(approvalRequestId: string, reviewer: string, options: AskOptions = {}): Ask<string> {
  return Ask.ask(
    () => ({
      kind: "review_link",
      approval_request_id: text("reviewLink: approvalRequestId", approvalRequestId),
      reviewer: text("reviewLink: reviewer", reviewer),
    }),
    (answer) => {
      if (typeof answer === "string" || !("link" in answer)) throw new Error("the host gave an answer of another kind");
      if ("Err" in answer.link) throw pauseError(answer.link.Err);
      return answer.link.Ok;
    },
    options,
  );
}

const HOUR_MS = 60 * 60 * 1000;

function pauseAsk(request: PauseRequest, responseSchema: string | undefined): PauseAsk {
  const { rejection } = request;
  if (rejection != null && rejection !== "first" && rejection !== "majority") {
    throw new TypeError(`pause: rejection is "first" or "majority", not ${String(rejection)}`);
  }
  return present<PauseAsk>({
    kind: "pause",
    approval_request_id: text("pause: approvalRequestId", request.approvalRequestId),
    approval_request_url: optionalText("pause: approvalRequestUrl", request.approvalRequestUrl),
    expires_in_ms: expiry(request),
    default_decision: optionalText("pause: defaultDecision", request.defaultDecision),
    title: optionalText("pause: title", request.title),
    payload: request.payload === undefined ? undefined : json("pause: payload", request.payload),
    editable: optionalFlag("pause: editable", request.editable),
    response_schema: responseSchema,
    choices: optionalTexts("pause: choices", request.choices),
    feedback_required: optionalTexts("pause: feedbackRequired", request.feedbackRequired),
    stages: approvers(request),
    rejection: rejection === "majority" ? rejection : undefined,
    forbid_self_approval: optionalFlag("pause: forbidSelfApproval", request.forbidSelfApproval),
    reminders_ms: optionalList("pause: remindAfterMs", request.remindAfterMs)?.map((wait) =>
      millis("pause: remindAfterMs", wait),
    ),
    escalations: optionalList<Escalation>("pause: escalations", request.escalations)?.map(escalationRecord),
    notify: optionalTexts("pause: notify", request.notify),
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
