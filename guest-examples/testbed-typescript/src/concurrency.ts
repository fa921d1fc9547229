/** Several asks at once, and what is seen of the order in which they are answered. */

import { type Agent, ai, call, pause, sleep } from "countersign";
import * as z from "zod";

export function addConcurrency(agent: Agent): void {
  agent.function(
    "all",
    { description: "Asks `a`, `b` and `c` at once, and tells the order of the answers." },
    async () => {
      const order: string[] = [];
      const ask = async (user: string) => {
        const answer = await ai({ user });
        order.push(user);
        return answer;
      };
      return { answers: await Promise.all([ask("a"), ask("b"), ask("c")]), order };
    },
  );

  agent.function("all_settled", { description: "Asks a model and calls, beside something that fails." }, async () => {
    const ends = await Promise.allSettled([
      ai({ user: "a" }),
      call("a.b", { x: 1 }),
      Promise.reject(new RangeError("no")),
    ]);
    return ends.map((end) => (end.status === "fulfilled" ? { ok: end.value } : { error: String(end.reason) }));
  });

  agent.function(
    "any",
    { description: "Takes the first answer, and not a failure that is there before." },
    async () => {
      return { first: await Promise.any([Promise.reject(new Error("no")), ai({ user: "a" }), ai({ user: "b" })]) };
    },
  );

  agent.function(
    "race",
    { description: "Races the pause `race` against a sleep.", input: z.object({ timeoutMs: z.number() }) },
    async ({ timeoutMs }) => {
      const decided = pause({ approvalRequestId: "race" }).then(({ decision }) => ({ winner: "pause", decision }));
      const slept = sleep(timeoutMs).then(() => ({ winner: "sleep", decision: null }));
      return Promise.race([decided, slept]);
    },
  );

  agent.function(
    "fan_out",
    {
      description: "Calls a function once for each input, all at once, and then once more with what came back.",
      input: z.object({ target: z.string(), inputs: z.array(z.unknown()) }),
    },
    async ({ target, inputs }) => {
      const results = await Promise.all(inputs.map((input) => call(target, input)));
      return call(target, results);
    },
  );

  agent.function("stream", { description: "Asks in an async generator, whose reader asks in between." }, async () => {
    async function* drafts() {
      for (const user of ["a", "b", "c"]) yield await ai({ user });
    }
    const seen = [];
    for await (const draft of drafts()) seen.push([draft, await call("a.b", draft)]);
    return seen;
  });

  agent.function(
    "forgotten",
    { description: "Returns while two asks are open, one of which nothing awaits." },
    async () => {
      void call("a.b", "forgotten");
      const slow = pause({ approvalRequestId: "never-decided" });
      const first = await Promise.race([ai({ user: "a" }), slow.then(() => "decided")]);
      return { first };
    },
  );
}
