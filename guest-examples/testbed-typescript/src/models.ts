/** Prompts. */

import { type Agent, ai, AiError, completion } from "countersign";
import * as z from "zod";

const Score = z.object({ stars: z.int().min(1).max(5), why: z.string() });

const jsonScore = {
  type: "object",
  properties: { stars: { type: "integer", minimum: 1, maximum: 5 }, why: { type: "string" } },
  required: ["stars", "why"],
} as const;

/** What was answered, or why not. */
async function report<T>(answer: Promise<T>): Promise<{ ok: T } | { error: string; message: string }> {
  try {
    return { ok: await answer };
  } catch (error) {
    if (!(error instanceof AiError)) throw error;
    return { error: error.code, message: error.message };
  }
}

export function addModels(agent: Agent): void {
  agent.function(
    "structured",
    { description: "Asks for an answer of a Zod schema, and for one of a JSON Schema." },
    async () => {
      const zod = await report(ai({ user: "Score it.", schema: Score }));
      const json = await report(ai({ user: "Score it again.", schema: jsonScore }));
      const stars: number[] = [zod, json].map((score) => ("ok" in score ? score.ok.stars : 0));
      return { zod, json, stars };
    },
  );

  agent.function("prompt", { description: "Asks a prompt of every part, and tells who answered." }, async () => {
    return completion({
      system: "You are terse.",
      messages: [
        { role: "user", content: "Grüße, 世界 🌍" },
        { role: "assistant", content: "Yes?" },
      ],
      user: "Go on.",
      model: "rehearsal",
      temperature: 0.7,
      maxTokens: 64,
    });
  });

  agent.function(
    "many_ai",
    { description: "Asks `tick 0`, `tick 1` and so on, one after the other.", input: z.object({ count: z.int() }) },
    async ({ count }) => {
      let last: string | null = null;
      for (let i = 0; i < count; i++) last = await ai({ user: `tick ${i}` });
      return { count, last };
    },
  );
}
