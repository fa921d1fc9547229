/** Pauses. */

import {
  type Agent,
  ai,
  executionId,
  pause,
  PauseError,
  type PauseRequest,
  type Review,
  reviewLink,
  waitForResume,
} from "countersign";
import * as z from "zod";

const Form = z.object({ amount: z.number().positive(), comment: z.string().default("none") });

/** A request as the contract has it, with JSON where that has JSON's text. */
const Request = z.strictObject({
  approval_request_id: z.string().default("only"),
  approval_request_url: z.string().optional(),
  expires_in_ms: z.number().optional(),
  default_decision: z.string().optional(),
  title: z.string().optional(),
  payload: z.unknown().optional(),
  editable: z.boolean().optional(),
  response_schema: z.record(z.string(), z.unknown()).optional(),
  choices: z.array(z.string()).optional(),
  feedback_required: z.array(z.string()).optional(),
  stages: z.array(z.strictObject({ reviewers: z.array(z.string()).default([]), required: z.int() })).optional(),
  rejection: z.enum(["first", "majority"]).optional(),
  forbid_self_approval: z.boolean().optional(),
  reminders_ms: z.array(z.number()).optional(),
  escalations: z
    .array(
      z.strictObject({
        after_ms: z.number(),
        reviewers: z.array(z.string()).optional(),
        notify: z.array(z.string()).optional(),
      }),
    )
    .optional(),
  notify: z.array(z.string()).optional(),
});

/** The same in the SDK's words. There, a stage without reviewers asks whoever may decide. */
function requested(request: z.infer<typeof Request>) {
  return {
    approvalRequestId: request.approval_request_id,
    approvalRequestUrl: request.approval_request_url,
    expiresInMs: request.expires_in_ms,
    defaultDecision: request.default_decision,
    title: request.title,
    payload: request.payload,
    editable: request.editable,
    responseSchema: request.response_schema as any,
    choices: request.choices,
    feedbackRequired: request.feedback_required,
    stages: request.stages?.map(({ reviewers, required }) => ({
      reviewers: reviewers.length > 0 ? reviewers : undefined,
      required,
    })),
    rejection: request.rejection,
    forbidSelfApproval: request.forbid_self_approval,
    remindAfterMs: request.reminders_ms,
    escalations: request.escalations?.map(({ after_ms, ...rest }) => ({ afterMs: after_ms, ...rest })),
    notify: request.notify,
  } satisfies PauseRequest & { responseSchema: unknown };
}

/** A review with all of its votes, as the other testbeds show it, or what failed. */
async function whole(pending: Promise<Review>): Promise<unknown> {
  try {
    const { decision, feedback, response, reviewer, decidedAt, votes } = await pending;
    return {
      decision,
      feedback: feedback ?? null,
      response: response ?? null,
      reviewer: reviewer ?? null,
      decided_at_ms: decidedAt.getTime(),
      votes: votes.map(({ votedAt, feedback, response, ...vote }) => ({
        ...vote,
        feedback: feedback ?? null,
        response: response ?? null,
        voted_at_ms: votedAt.getTime(),
      })),
    };
  } catch (error) {
    if (!(error instanceof PauseError)) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

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

  agent.function(
    "approve",
    { description: "Pauses with all that the contract has, and returns the whole review.", input: Request },
    async (request) => whole(pause(requested(request))),
  );

  agent.function("two_of_three", { description: "Asks three for two votes, reminds and escalates." }, async () => {
    const review = pause({
      approvalRequestId: "board",
      payload: { euros: 5 },
      editable: true,
      reviewers: ["ana", "bo", "cy"],
      required: 2,
      rejection: "majority",
      remindAfterMs: [60_000, 3_600_000],
      escalations: [{ afterMs: 7_200_000, reviewers: ["@leads"] }],
      expiresInHours: 24,
      defaultDecision: "rejected",
    });
    return whole(review);
  });

  agent.function(
    "rounds",
    {
      description: "Pauses so many times under the name `round`, and comes back to the second one.",
      input: z.object({ n: z.int().default(3) }),
    },
    async ({ n }) => {
      const decisions = [];
      for (let i = 0; i < n; i++) decisions.push((await pause({ approvalRequestId: "round" })).decision);
      if (n > 1) decisions[1] = (await waitForResume("round#2")).decision;
      return decisions;
    },
  );

  agent.function(
    "link_then_pause",
    {
      description: "Gets a link for a reviewer to a pause, and then pauses under `only`. Returns both.",
      input: z.object({ reviewer: z.string().default("ana"), to: z.string().default("only") }),
    },
    async ({ reviewer, to }) => {
      const link = await reviewLink(to, reviewer);
      return { link, review: await whole(pause({ approvalRequestId: "only", reviewers: [reviewer] })) };
    },
  );

  agent.function("announce", { description: "Tells a model the id of a pause before it opens it." }, async () => {
    const id = `${executionId()}:gate`;
    await ai({ user: `Tell the reviewer to decide ${id}.` });
    const { decision } = await pause({ approvalRequestId: "gate" });
    return { id, decision };
  });
}
