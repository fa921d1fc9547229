/** An expense claim, and the forms that people fill in about it. */

import * as z from "zod";

export const COST_CENTRES = ["general", "travel", "equipment", "training"] as const;

/** The most that anybody may claim at once, in euros. */
const AMOUNT_MAX = 10_000;

export const Claim = z.object({
  employee: z.string().min(1).max(200).describe("Who spent the money."),
  purpose: z.string().min(1).max(2_000).describe("What for."),
  amount: z.number().positive().max(AMOUNT_MAX).describe("In euros."),
  receipt: z.url().optional().describe("Where the receipt can be seen."),
});
export type Claim = z.infer<typeof Claim>;

export const Outcome = z.object({
  status: z.enum(["approved", "rejected", "withdrawn", "expired"]),
  amount: z.number().describe("What is paid out, in euros."),
  costCentre: z.enum(COST_CENTRES).nullable(),
  comment: z.string().nullable(),
  decidedBy: z.string().describe("A person, or `policy` where nobody had to be asked."),
});
export type Outcome = z.infer<typeof Outcome>;

/** What a model says about a claim, for the one who decides. */
export const Advice = z.object({
  costCentre: z.enum(COST_CENTRES),
  concerns: z.array(z.string()).max(5).describe("What the approver should look at; often nothing."),
});
export type Advice = z.infer<typeof Advice>;

/**
 * The approver's form. An approver may approve less than was claimed, but not more.
 *
 * Whatever an approver leaves out is as it was claimed and as the model suggests: one who agrees fills nothing in.
 */
export function approvalForm(claim: Claim, advice: Advice | undefined) {
  return z.object({
    amount: z.number().min(0).max(claim.amount).default(claim.amount),
    costCentre: z.enum(COST_CENTRES).default(advice?.costCentre ?? "general"),
    comment: z.string().max(2_000).optional(),
  });
}

/** The employee's form, when the approver wants changes. What is left out stays. */
export const ChangesForm = Claim.pick({ purpose: true, amount: true, receipt: true }).partial();
