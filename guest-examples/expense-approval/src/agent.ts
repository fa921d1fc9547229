/**
 * Has an expense claim approved: a small one at once, another by a person, who may edit it first or send it back.
 *
 * A claim may lie for weeks on two desks in turn. Nothing runs meanwhile, and no restart or release loses it.
 */

import { Agent, ai, AiError, note, pause, type Review } from "countersign";

import { approvers } from "./approvers.js";
import { Advice, approvalForm, ChangesForm, Claim, Outcome } from "./claim.js";

/** Up to here the policy approves by itself, in euros: asking would cost more. */
const ASK_ABOVE = 50;

/** How often a claim may be sent back. */
const ROUNDS_MAX = 3;

const DAYS = 24;

export default new Agent({ name: "expense-approval", version: "1.0.0" }).function(
  "submit",
  { description: "Has an expense claim approved, by a person if it is not small.", input: Claim, output: Outcome },
  async (submitted): Promise<Outcome> => {
    if (submitted.amount <= ASK_ABOVE) {
      note(`${submitted.amount} EUR: approved by the policy, nobody is asked`);
      return {
        status: "approved",
        amount: submitted.amount,
        costCentre: "general",
        comment: null,
        decidedBy: "policy",
      };
    }

    let claim = submitted;
    for (let round = 1; round <= ROUNDS_MAX; round++) {
      const advice = await advise(claim);
      const review = await pause({
        // Of the second round it is `approval#2`: what was decided about the claim as it was is not taken for this one.
        approvalRequestId: "approval",
        title: `${claim.employee}: ${claim.amount} EUR`,
        payload: { claim, advice: advice ?? null },
        responseSchema: approvalForm(claim, advice),
        expiresInHours: 14 * DAYS,
        ...approvers(claim),
      });
      const decidedBy = names(review);
      const comment = review.response?.comment ?? review.feedback ?? null;
      if (review.approved) {
        const { amount, costCentre } = review.response ?? { amount: claim.amount, costCentre: "general" };
        return { status: "approved", amount, costCentre, comment, decidedBy };
      }
      if (!review.changesRequested) {
        return { status: review.expired ? "expired" : "rejected", amount: 0, costCentre: null, comment, decidedBy };
      }

      // The employee edits the claim, and it goes back to the approver.
      const changes = await pause({
        approvalRequestId: "changes",
        title: "Your expense claim needs changes",
        payload: { claim, wanted: comment },
        choices: ["resubmit", "withdraw"],
        responseSchema: ChangesForm,
        expiresInHours: 7 * DAYS,
      });
      if (changes.decision !== "resubmit") {
        const status = changes.expired ? "expired" : "withdrawn";
        return { status, amount: 0, costCentre: null, comment, decidedBy: changes.reviewer ?? "unknown" };
      }
      claim = { ...claim, ...changes.response };
    }
    const comment = `sent back ${ROUNDS_MAX} times; submit a new claim`;
    return { status: "rejected", amount: 0, costCentre: null, comment, decidedBy: "policy" };
  },
);

/** Who decided: all who voted, or the one who decided alone. */
function names({ votes, reviewer }: Review): string {
  return votes.length > 0 ? votes.map((vote) => vote.reviewer).join(", ") : (reviewer ?? "unknown");
}

/** Advice for the approver. Whoever decides can do so without it, so a model that fails fails nothing. */
async function advise(claim: Claim): Promise<Advice | undefined> {
  try {
    return await ai({
      system: "You prepare expense claims for an approver: name the cost centre, and what to look at. Do not decide.",
      user: JSON.stringify(claim),
      schema: Advice,
    });
  } catch (error) {
    if (!(error instanceof AiError)) throw error;
    note("no advice:", error.message);
    return undefined;
  }
}
