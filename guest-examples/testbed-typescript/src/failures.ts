/** What goes wrong, on purpose or not. */

import { type Agent, AgentError, ai, call, CallError, sleep } from "countersign";
import * as z from "zod";

class OutOfStock extends Error {}

function orderOf(article: { stock: number } | undefined): number {
  return article!.stock;
}

export function addFailures(agent: Agent): void {
  agent.function(
    "call",
    { description: "Calls a function of another agent.", input: z.object({ target: z.string(), input: z.unknown() }) },
    async ({ target, input }) => {
      try {
        return { ok: await call(target, input) };
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        return { error: { code: error.code, message: error.message }, failed: error.error ?? null };
      }
    },
  );

  agent.function("fail", { description: "Fails with the code `refused`." }, async () => {
    throw new AgentError("refused", "this function always fails");
  });

  agent.function("throw_after_ai", { description: "Throws a TypeError, once a model has answered." }, async () => {
    await ai({ user: "may I?" });
    return orderOf(undefined);
  });

  agent.function("throw_class", { description: "Throws an error of a class of its own, with a cause." }, async () => {
    throw new OutOfStock("no pens are left", { cause: new RangeError("stock is -1") });
  });

  agent.function("throw_text", { description: "Throws what is no error." }, async () => {
    throw "just a text";
  });

  agent.function(
    "throw_in_timer",
    { description: "Throws in the callback of a timer, which nobody can catch." },
    async () => {
      setTimeout(() => {
        throw new OutOfStock("in a timer");
      }, 5);
      await sleep(100_000);
    },
  );

  agent.function("uncaught_call", { description: "Lets the failure of a wrong argument through." }, async () => {
    await ai({ user: "a" });
    await call("a.b", { big: 1n });
  });

  agent.function("catch_across", { description: "Catches, and cleans up, across asks." }, async () => {
    const steps: string[] = [];
    for (const attempt of [1, 2]) {
      try {
        steps.push(await ai({ user: `attempt ${attempt}` }));
        if (attempt === 1) throw new OutOfStock("at first");
      } catch (error) {
        steps.push(`${(error as Error).constructor.name}: ${await ai({ user: "what now?" })}`);
      } finally {
        await sleep(1);
        steps.push(`cleaned up after ${attempt}`);
      }
    }
    return steps;
  });

  agent.function(
    "typed",
    {
      description: "Takes a plain JSON Schema.",
      input: {
        type: "object",
        properties: {
          amount: { type: "number", exclusiveMinimum: 0 },
          tags: { type: "array", items: { type: "string" } },
        },
        required: ["amount"],
      },
      output: z.object({ doubled: z.number(), tags: z.string() }),
    },
    async ({ amount, tags }) => ({ doubled: amount * 2, tags: (tags ?? []).join() }),
  );

  agent.function("no_json", { description: "Returns what is no JSON." }, async () => ({ big: 1n }));

  agent.function("stuck", { description: "Waits for what nothing will ever settle." }, async () => {
    await ai({ user: "a" });
    await new Promise(() => {});
  });

  agent.function("spin", { description: "Never returns." }, async () => {
    for (;;);
  });

  agent.function("grow", { description: "Takes memory until there is none." }, async () => {
    const taken = [];
    for (;;) taken.push(new Uint8Array(1 << 20).fill(1));
  });

  agent.function("recurse", { description: "Uses up the stack." }, async () => {
    const deeper = (n: number): number => 1 + deeper(n + 1);
    return deeper(0);
  });
}
