/** What a host refuses of a pause. Lengths of texts and schemas are left to the host. */

import type { AskRecord, PauseAsk, StageRecord } from "../journal.js";

/** The host's own longest wait. */
export const WAIT_MS_MAX = 366 * 24 * 60 * 60 * 1000;

/** The choices of a pause that names none. */
export const CHOICES: readonly string[] = ["approved", "rejected", "request_changes"];

/** Of `name#2`; an execution has no more asks than this. */
const NUMBER_MAX = 200_000;
const CHOICES_MAX = 32;
const CHOICE_BYTES_MAX = 64;
const STAGES_MAX = 8;
/** Of one stage, and the most that may have to agree. */
const REVIEWERS_MAX = 64;
const REVIEWER_BYTES_MAX = 256;
const REMINDERS_MAX = 16;
const ESCALATIONS_MAX = 8;
const NOTIFY_MAX = 8;

const NAME = /^[A-Za-z0-9._~-]{1,128}$/;
const GROUP = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

/** Why a host refuses a pause, a wait for one or a link to one; undefined if it does not. */
export function refusal(ask: AskRecord): string | undefined {
  if (ask.kind === "pause") {
    for (const why of refusals(ask)) return why;
  } else if (ask.kind === "wait_for_resume" || ask.kind === "review_link") {
    if (!isId(ask.approval_request_id)) {
      return "approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -, and for the second pause of a name `#2`";
    }
    if (ask.kind === "review_link" && !isReviewer(ask.reviewer)) {
      return `reviewer: 1 to ${REVIEWER_BYTES_MAX} bytes, no \`@\` first, no control characters`;
    }
  }
  return undefined;
}

function* refusals(ask: PauseAsk): Iterable<string> {
  if (!NAME.test(ask.approval_request_id)) yield "approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -";
  if (ask.editable && ask.payload === undefined) yield "editable: there is no payload to be edited";
  const choices = ask.choices ?? CHOICES;
  if (choices.length > CHOICES_MAX || !choices.every(isChoice)) {
    yield `choices: at most ${CHOICES_MAX}, each 1 to ${CHOICE_BYTES_MAX} bytes, not \`expired\``;
  }
  if (!(ask.feedback_required ?? []).every((choice) => choices.includes(choice))) {
    yield "feedback-required: each must be one of the choices";
  }
  if (ask.default_decision !== undefined && !choices.includes(ask.default_decision)) {
    yield "default-decision: must be one of the choices";
  }
  const [reminders, escalations] = [ask.reminders_ms ?? [], ask.escalations ?? []];
  if (Math.max(0, ...reminders, ...escalations.map(({ after_ms }) => after_ms)) > WAIT_MS_MAX) {
    yield `reminders-ms, escalations: at most ${WAIT_MS_MAX} ms after the pause was opened`;
  }
  yield* stageRefusals(ask);
  yield* endpointRefusals("notify", ask.notify);
  if (reminders.length > REMINDERS_MAX) yield `reminders-ms: at most ${REMINDERS_MAX}`;
  if (escalations.length > ESCALATIONS_MAX) yield `escalations: at most ${ESCALATIONS_MAX}`;
  for (const { reviewers, notify } of escalations) {
    yield* reviewerRefusals("escalations", reviewers);
    yield* endpointRefusals("escalations: notify", notify);
  }
}

function* stageRefusals({ stages = [], rejection }: PauseAsk): Iterable<string> {
  if (stages.length > STAGES_MAX) yield `stages: at most ${STAGES_MAX}`;
  for (const stage of stages) {
    const { reviewers, required } = stage;
    yield* reviewerRefusals("stages", reviewers);
    if (new Set(reviewers.map((name) => name.toLowerCase())).size < reviewers.length) {
      yield "stages: a reviewer is named twice at one stage";
    }
    if (required < 1 || required > REVIEWERS_MAX) yield `stages: \`required\` is 1 to ${REVIEWERS_MAX}`;
    if (isClosed(stage) && required > reviewers.length) {
      yield `stages: requires ${required} of ${reviewers.length} reviewers`;
    }
  }
  if (rejection === "majority" && stages.length === 0) yield "rejection: `majority` needs `stages`";
}

/** Whether a stage asks nobody but people by name. */
export function isClosed({ reviewers }: StageRecord): boolean {
  return reviewers.length > 0 && !reviewers.some((name) => name.startsWith("@"));
}

function* reviewerRefusals(field: string, names: readonly string[] = []): Iterable<string> {
  if (names.length > REVIEWERS_MAX) yield `${field}: at most ${REVIEWERS_MAX} reviewers and groups at one place`;
  for (const name of names) {
    const isKnown = name.startsWith("@") ? GROUP.test(name.slice(1)) : isReviewer(name);
    if (!isKnown) yield `${field}: ${JSON.stringify(name)} is neither a reviewer nor a group`;
  }
}

function* endpointRefusals(field: string, names: readonly string[] = []): Iterable<string> {
  if (names.length > NOTIFY_MAX) yield `${field}: at most ${NOTIFY_MAX} endpoints`;
  for (const name of names) {
    if (!GROUP.test(name)) yield `${field}: ${JSON.stringify(name)} is no endpoint: 1 to 64 of a-z 0-9 _ -`;
  }
}

function isId(id: string): boolean {
  const [name = "", number = "2", ...more] = id.split("#");
  return NAME.test(name) && /^[1-9][0-9]{0,5}$/.test(number) && isWithin(Number(number), 2, NUMBER_MAX) && !more.length;
}

function isReviewer(name: string): boolean {
  return isLine(name, REVIEWER_BYTES_MAX) && name.trim() === name && !name.startsWith("@");
}

function isChoice(choice: string): boolean {
  return isLine(choice, CHOICE_BYTES_MAX) && choice !== "expired";
}

function isLine(text: string, bytesMax: number): boolean {
  return isWithin(new TextEncoder().encode(text).length, 1, bytesMax) && !CONTROL.test(text);
}

function isWithin(number: number, least: number, most: number): boolean {
  return number >= least && number <= most;
}
