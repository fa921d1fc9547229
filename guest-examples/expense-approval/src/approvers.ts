/** Who decides about a claim, and what is done while they are away. */

import type { PauseRequest } from "countersign";

import type { Claim } from "./claim.js";

/** From here on it takes two of the board, in euros. */
const BOARD_FROM = 1_000;

const BOARD = ["Barbara", "Grace", "Katherine"];

/** Who steps in when the board is away. */
const DEPUTY = "Joan";

const DAY_MS = 24 * 60 * 60 * 1000;

/** A claim of less is decided by whoever may decide for the tenant, who comes first. */
export function approvers({ amount }: Claim): Partial<PauseRequest> {
  if (amount < BOARD_FROM) return { remindAfterMs: [3 * DAY_MS] };
  return {
    reviewers: BOARD,
    required: 2,
    // Nobody approves a claim that they have submitted, and nobody refuses this much without a word.
    forbidSelfApproval: true,
    feedbackRequired: ["rejected"],
    remindAfterMs: [2 * DAY_MS, 5 * DAY_MS],
    escalations: [{ afterMs: 7 * DAY_MS, reviewers: [DEPUTY] }],
  };
}
