/** Who decides at a pause, and whom else to ask when that takes long. */

import type { EscalationRecord, StageRecord } from "./journal.js";
import { millis, optionalList, optionalNumber, optionalTexts, present } from "./values.js";

/** Who decides at one step of an approval. */
export interface Stage {
  /** At most 64, by name; groups of the tenant with an `@` before theirs. Otherwise whoever may decide for the tenant. */
  reviewers?: readonly string[] | undefined;
  /** How many of them must agree on a choice, 1 to 64; otherwise one. */
  required?: number | undefined;
}

/** Whom else to ask when a decision is long in coming. */
export interface Escalation {
  /** Milliseconds after the pause was opened. */
  afterMs: number;
  /** Who may decide from then on, too, at every stage. */
  reviewers?: readonly string[] | undefined;
  /** Names of the tenant's endpoints that are told then; at most 8. */
  notify?: readonly string[] | undefined;
}

/** What the contract has room for; a host wants less. */
const REQUIRED_MAX = 2 ** 32 - 1;

/** The stages of a request: one by itself, or several. */
export function approvers(request: Stage & { stages?: readonly Stage[] | undefined }): StageRecord[] | undefined {
  const stages = optionalList<Stage>("pause: stages", request.stages);
  if (request.reviewers == null && request.required == null) {
    return stages?.map((stage, at) => stageRecord(`pause: stages[${at}]`, stage));
  }
  if (stages) throw new TypeError("pause: give `reviewers` and `required`, or `stages`, not both");
  return [stageRecord("pause", request)];
}

function stageRecord(name: string, { reviewers, required }: Stage): StageRecord {
  const names = optionalTexts(`${name}: reviewers`, reviewers);
  // To the host a list of nobody is everybody. Whoever computed one did not mean that.
  if (reviewers != null && !names) {
    throw new TypeError(`${name}: reviewers: name at least one, or leave it out to ask whoever may decide`);
  }
  const count = optionalNumber(`${name}: required`, required, REQUIRED_MAX) ?? 1;
  if (!Number.isInteger(count)) throw new TypeError(`${name}: required must be a whole number, not ${count}`);
  return { reviewers: names ?? [], required: count };
}

export function escalationRecord(escalation: Escalation, at: number): EscalationRecord {
  const name = `pause: escalations[${at}]`;
  return present<EscalationRecord>({
    after_ms: millis(`${name}: afterMs`, escalation.afterMs),
    reviewers: optionalTexts(`${name}: reviewers`, escalation.reviewers),
    notify: optionalTexts(`${name}: notify`, escalation.notify),
  });
}
