/** Pauses. */

import { type Agent, ai, executionId, pause, PauseError, type Review, waitForResume } from "countersign";
import * as z from "zod";

const Form = z.object({ amount: z.number().positive(), comment: z.string().default("none") });

/** A review as JSON, or what failed. */
async function report(review: Promise<Review>): Promise<unknown> {
  try {
    const { decidedAt, ...rest } = await review;
    return { ...rest, decidedAt: decidedAt.toISOString() };
  } catch (error) {
    if (!(error instanceof PauseError)) throw error;
    return { error: error.code };
  }
}

export function addPeople(agent: Agent): void {
  agent.function(
    "pause_once",
    {
      description: "Pauses once and returns the review.",
      input: z.object({
        id: z.string().default("only"),
        expiresInMs: z.number().optional(),
        choices: z.array(z.string()).optional(),
        title: z.string().optional(),
        payload: z.unknown(),
      }),
    },
    async ({ id, ...rest }) => report(pause({ approvalRequestId: id, ...rest })),
  );

  agent.function("form", { description: "Pauses with a form." }, async () => {
    const review = await pause({ approvalRequestId: "form", title: "How much?", responseSchema: Form });
    const amount: number | undefined = review.response?.amount;
    return { decision: review.decision, amount: amount ?? null, response: review.response ?? null };
  });

  agent.function(
    "pauses",
    { description: "Pauses under `p0`, `p1` and so on, one after the other.", input: z.object({ count: z.int() }) },
    async ({ count }) => {
      const decisions = [];
      for (let i = 0; i < count; i++) decisions.push((await pause({ approvalRequestId: `p${i}` })).decision);
      return decisions;
    },
  );

  agent.function(
    "wait",
    {
      description: "Reconnects to an approval and returns the review.",
      input: z.object({ id: z.string(), timeoutMs: z.number().optional() }),
    },
    async ({ id, timeoutMs }) => report(waitForResume(id, { timeoutMs })),
  );

  agent.function(
    "pauses_and_wait",
    { description: "Pauses under `a` and `b`, and waits for `b` by its name." },
    async () => {
      const reviews = await Promise.all([
        pause({ approvalRequestId: "a", expiresInMs: 50 }),
        pause({ approvalRequestId: "b", expiresInMs: 50 }),
        waitForResume("b"),
      ]);
      return reviews.map(({ decision }) => decision);
    },
  );

  agent.function("twice", { description: "Pauses twice under one id." }, async () => {
    return [await report(pause({ approvalRequestId: "x" })), await report(pause({ approvalRequestId: "x" }))].map(
      (review) => (review as { decision?: string; error?: string }).error ?? (review as Review).decision,
    );
  });

  agent.function("announce", { description: "Tells a model the id of a pause before it opens it." }, async () => {
    const id = `${executionId()}:gate`;
    await ai({ user: `Tell the reviewer to decide ${id}.` });
    const { decision } = await pause({ approvalRequestId: "gate" });
    return { id, decision };
  });
}
