/** What a test answers an ask with. */

/** What a reviewer adds to a decision. */
export interface ReviewDetails {
  feedback?: string | undefined;
  /** The filled-in form, or the payload as it was edited. */
  response?: unknown;
  reviewer?: string | undefined;
  /**
   * Of several reviewers, what each of them decided, oldest first. They must lead to this decision; the last one's
   * feedback, response and name are the review's. Otherwise this decision stands for everybody's.
   */
  votes?: readonly Decision[] | undefined;
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

/** Nobody decides in time. The decision is then the default one of the pause, if it has one. */
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
