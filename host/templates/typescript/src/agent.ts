/** Drafts an announcement and has a person review it. */

import { Agent, ai, pause } from "countersign";

const agent = new Agent({ name: "{{name}}", version: "0.1.0" });

const brief = {
  type: "object",
  properties: { brief: { type: "string", description: "What to announce, and to whom." } },
  required: ["brief"],
} as const;

agent.function(
  "announce",
  { description: "Drafts an announcement, and returns it with what the reviewer decided.", input: brief },
  async ({ brief }) => {
    const text = await ai({ system: "You write short, friendly announcements.", user: brief });
    // Here it may wait for days. The host may stop meanwhile; the model is not asked again.
    const review = await pause({ approvalRequestId: "review", title: "Publish this?", payload: { text } });
    return { status: review.decision, text };
  },
);

export default agent;
