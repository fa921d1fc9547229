/** What a host takes of a decision, and what the agent is told of it. */

import type { PauseAsk, ReviewRecord, StageRecord, VoteRecord } from "../journal.js";
import { check } from "../schema.js";
import { json, present } from "../values.js";
import { AnswerError, Decision } from "./answers.js";
import { CHOICES } from "./approval.js";
import { Count } from "./votes.js";

/** The choices that say no. They need no response. */
const REFUSALS: readonly string[] = ["rejected", "request_changes"];

/** Who decided where a reviewer must have a name, if the test gives none. */
const SOMEBODY = "somebody";

/** How many references are followed from one to the next. */
const REFERENCES_MAX = 64;

export function refuses(decision: string): boolean {
  return REFUSALS.includes(decision);
}

/** The review that a decision makes of a pause. */
export function reviewOf(ask: PauseAsk, given: Decision, now: number): ReviewRecord {
  if (given.decision === "expired") return timedOut(ask, now);
  if (!ask.stages && !ask.forbid_self_approval) {
    if (given.details.votes) throw new AnswerError("there are votes, but the pause does not say who decides");
    return present<ReviewRecord>({ ...take(ask, given), decided_at_ms: now });
  }
  const votes = given.details.votes ? counted(ask, given, now) : [soleVote(ask, given, now)];
  const { reviewer, decision, feedback, response } = votes.at(-1)!;
  return present<ReviewRecord>({ decision, feedback, response, reviewer, decided_at_ms: now, votes });
}

/** What nobody decided in time. */
export function timedOut(ask: PauseAsk | undefined, now: number): ReviewRecord {
  const decision = ask?.default_decision;
  if (!ask || decision === undefined) return { decision: "expired", decided_at_ms: now };
  const response = completed(ask, decision, undefined);
  const isTaken = response !== undefined && misfit(ask, response) === undefined;
  return present<ReviewRecord>({ decision, response: isTaken ? response : undefined, decided_at_ms: now });
}

/** One reviewer's decision, as a host keeps it. */
export interface Taken {
  readonly decision: string;
  readonly feedback: string | undefined;
  readonly response: string | undefined;
  readonly reviewer: string | undefined;
}

/** Takes one reviewer's decision. */
export function take(ask: PauseAsk, { decision, details }: Decision): Taken {
  const choices = ask.choices ?? CHOICES;
  if (!choices.includes(decision)) {
    throw new AnswerError(`no reviewer can decide \`${decision}\`: the choices are ${choices.join(", ")}`);
  }
  if (ask.feedback_required?.includes(decision) && !details.feedback?.trim()) {
    throw new AnswerError(`\`${decision}\` needs feedback`);
  }
  const given = details.response === undefined ? undefined : json("the response of a review", details.response);
  const response = completed(ask, decision, given);
  const issues = response === undefined ? undefined : misfit(ask, response);
  // What is left out and has no default is not there.
  const isMissing = given === undefined && (response === undefined || (issues !== undefined && !ask.editable));
  if (ask.response_schema !== undefined && isMissing && !refuses(decision)) {
    throw new AnswerError(`this pause has a form: \`${decision}\` needs a \`response\``);
  }
  if (issues !== undefined) {
    throw new AnswerError(`no reviewer can send this response, which does not fit \`responseSchema\`: ${issues}`);
  }
  return { decision, feedback: details.feedback, response, reviewer: details.reviewer };
}

/** One decision that stands for everybody's. */
function soleVote(ask: PauseAsk, given: Decision, now: number): VoteRecord {
  const last = Math.max((ask.stages?.length ?? 0) - 1, 0);
  return voteOf(take(ask, given), refuses(given.decision) ? 0 : last, now);
}

/** The votes that the test gives, if they lead to its decision. */
function counted(ask: PauseAsk, { decision, details }: Decision, now: number): VoteRecord[] {
  if (details.feedback !== undefined || details.response !== undefined || details.reviewer !== undefined) {
    throw new AnswerError(
      "a decision with votes has nothing else: feedback, response and reviewer are the last vote's",
    );
  }
  const anyone: StageRecord[] = [{ reviewers: [], required: 1 }];
  const count = new Count(ask.stages ?? anyone, ask);
  const votes = (details.votes ?? []).map((given) => {
    const { stage } = count;
    const taken = take(ask, given);
    count.add(taken.reviewer, taken.decision, refuses(taken.decision));
    return voteOf(taken, stage, now);
  });
  const outcome = count.outcome;
  if (outcome !== decision) {
    const come = outcome === undefined ? "nothing yet" : `\`${outcome}\``;
    throw new AnswerError(`the votes do not lead to \`${decision}\`, but to ${come}`);
  }
  return votes;
}

function voteOf({ decision, feedback, response, reviewer = SOMEBODY }: Taken, stage: number, now: number): VoteRecord {
  return present<VoteRecord>({ reviewer, stage, decision, feedback, response, voted_at_ms: now, claimed: undefined });
}

/** What is wrong with a response. */
function misfit(ask: PauseAsk, response: string): string | undefined {
  return ask.response_schema === undefined ? undefined : misfitOf(ask.response_schema, response);
}

/** What the host says of a text that does not satisfy a schema. */
export function misfitOf(schema: string, text: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "the answer is no JSON";
  }
  const verdict = check(JSON.parse(schema) as Record<string, unknown>).check(value);
  return "issues" in verdict && verdict.issues ? verdict.issues.join("; ") : undefined;
}

/** The response that the agent is given: as it was approved, or with what the form has by default. */
function completed(ask: PauseAsk, decision: string, response: string | undefined): string | undefined {
  if (response === undefined && refuses(decision)) return undefined;
  const given = response ?? (ask.editable ? ask.payload : undefined);
  if (ask.response_schema === undefined) return given;
  const schema: unknown = JSON.parse(ask.response_schema);
  const form = resolved(schema, schema);
  if (given === undefined && form["default"] !== undefined) return JSON.stringify(form["default"]);
  const document: unknown = given === undefined ? {} : JSON.parse(given);
  const isFilled = fill(schema, schema, document);
  return given === undefined && !isFilled ? undefined : JSON.stringify(document);
}

/** Adds the schema's defaults where the document has nothing; says whether there were any. */
function fill(root: unknown, schema: unknown, document: unknown): boolean {
  const { properties } = resolved(root, schema);
  if (!isObject(properties) || !isObject(document)) return false;
  let isFilled = false;
  for (const [name, part] of Object.entries(properties)) {
    const inner = resolved(root, part);
    if (Object.hasOwn(document, name)) {
      if (fill(root, inner, document[name])) isFilled = true;
    } else if (inner["default"] !== undefined) {
      document[name] = structuredClone(inner["default"]);
      isFilled = true;
    }
  }
  return isFilled;
}

/** The schema that a reference leads to. What stands beside the reference comes first. */
function resolved(root: unknown, schema: unknown): Record<string, unknown> {
  let here = schema;
  for (let i = 0; i < REFERENCES_MAX && isObject(here); i++) {
    const reference = here["$ref"];
    if ("default" in here || "properties" in here || typeof reference !== "string") return here;
    here = reference
      .replace(/^#/, "")
      .split("/")
      .slice(1)
      .reduce<unknown>((target, step) => {
        return isObject(target) ? target[step.replaceAll("~1", "/").replaceAll("~0", "~")] : undefined;
      }, root);
  }
  return {};
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
