/** What several reviewers decide together. */

import type { PauseAsk, StageRecord } from "../journal.js";
import { AnswerError } from "./answers.js";
import { isClosed } from "./approval.js";

/** How far the votes on a pause have come. */
export class Count {
  readonly #stages: readonly StageRecord[];
  readonly #isFirst: boolean;
  /** Whom escalations ask, too. */
  readonly #later: readonly string[];
  /** The stage at which each has voted. */
  readonly #voted = new Map<string, number>();
  /** How many have voted for each choice at this stage. */
  readonly #here = new Map<string, number>();
  #refusals = 0;
  #stage = 0;
  #outcome: string | undefined;
  /** The last decision, if it was a refusal. */
  #lastRefusal: string | undefined;

  constructor(stages: readonly StageRecord[], { rejection, escalations = [] }: PauseAsk) {
    this.#stages = stages;
    this.#isFirst = rejection !== "majority";
    this.#later = escalations.flatMap(({ reviewers = [] }) => reviewers);
  }

  /** The stage that is voted on. */
  get stage(): number {
    return this.#stage;
  }

  /** What it has come to. When a majority of a group refuses, only a host knows; the test is believed. */
  get outcome(): string | undefined {
    return this.#outcome ?? (this.#eligible() === undefined ? this.#lastRefusal : undefined);
  }

  add(reviewer: string | undefined, decision: string, isRefusal: boolean): void {
    if (!reviewer) throw new AnswerError("a vote has no reviewer");
    if (this.#outcome !== undefined) throw new AnswerError(`it was decided before ${reviewer} voted`);
    if (this.#voted.has(reviewer.toLowerCase())) throw new AnswerError(`${reviewer} votes twice`);
    if (!this.#isAsked(reviewer)) throw new AnswerError(`${reviewer} is not asked at stage ${this.#stage}`);
    const eligible = this.#eligible();
    const { required } = this.#stages[this.#stage]!;
    this.#voted.set(reviewer.toLowerCase(), this.#stage);
    this.#lastRefusal = isRefusal ? decision : undefined;
    if (isRefusal) {
      this.#refusals++;
      if (this.#isRefused(eligible, required)) this.#outcome = decision;
      return;
    }
    const agree = (this.#here.get(decision) ?? 0) + 1;
    this.#here.set(decision, agree);
    if (agree < required) return;
    this.#here.clear();
    this.#refusals = 0;
    this.#stage++;
    if (this.#stage === this.#stages.length) this.#outcome = decision;
  }

  #isRefused(eligible: number | undefined, required: number): boolean {
    if (this.#isFirst) return true;
    if (eligible === undefined) return false;
    if (eligible === Number.POSITIVE_INFINITY) return this.#refusals >= required;
    return this.#refusals * 2 > eligible || eligible < this.#refusals + required;
  }

  #isAsked(reviewer: string): boolean {
    const { reviewers } = this.#stages[this.#stage]!;
    const isThis = (name: string) => name.startsWith("@") || name.toLowerCase() === reviewer.toLowerCase();
    return reviewers.length === 0 || [...reviewers, ...this.#later].some(isThis);
  }

  /** How many the stage asks of those who have not voted before it; undefined if that takes knowing a group. */
  #eligible(): number | undefined {
    const stage = this.#stages[this.#stage];
    if (!stage || stage.reviewers.length === 0) return Number.POSITIVE_INFINITY;
    if (this.#later.length > 0 || !isClosed(stage)) return undefined;
    return stage.reviewers.filter((name) => (this.#voted.get(name.toLowerCase()) ?? this.#stage) === this.#stage)
      .length;
  }
}
