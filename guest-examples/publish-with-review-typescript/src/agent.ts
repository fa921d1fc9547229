/**
 * Drafts a post, has an editor review it, revises it, has a publisher sign it off, and publishes it.
 *
 * It waits for two people, one after the other, for up to a day. Meanwhile it exists only as rows in Postgres.
 */

import { Agent, ai, call, pause } from "countersign";
import * as z from "zod";

export default new Agent({ name: "content-pipeline", version: "1.0.0" }).function(
  "publish_with_review",
  {
    description: "Drafts a post from a brief and publishes it, if an editor and a publisher agree.",
    input: z.object({ brief: z.string().describe("What the post is to say, and to whom.") }),
  },
  async ({ brief }) => {
    const draft = await ai({ system: "You are a senior copywriter.", user: brief });

    // An editor reviews the draft.
    const review = await pause({
      approvalRequestId: "draft-review",
      approvalRequestUrl: "https://cms.example.com/review/draft",
      expiresInHours: 24,
    });
    if (!review.approved) return { status: review.decision, feedback: review.feedback ?? null };

    const post = await ai({
      system: "Revise based on editorial feedback.",
      user: `Draft: ${draft}\nFeedback: ${review.feedback ?? ""}`,
    });

    // A publisher signs off before it goes live.
    const signOff = await pause({
      approvalRequestId: "final-approval",
      approvalRequestUrl: "https://cms.example.com/review/final",
      expiresInHours: 4,
    });
    if (signOff.approved) await call("publisher.publish", { content: post });
    return { status: signOff.decision };
  },
);
