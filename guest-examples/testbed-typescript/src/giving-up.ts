/** Asks that are given up before they are answered. */

import { type Agent, ai, pause, TimeoutError, timeout } from "countersign";
import * as z from "zod";

const millis = z.object({ ms: z.number() });

export function addGivingUp(agent: Agent): void {
  agent.function(
    "timeout",
    { description: "Gives a pause so many milliseconds, and pauses again if they are over.", input: millis },
    async ({ ms }) => {
      try {
        const review = await timeout(ms, pause({ approvalRequestId: "quick" }));
        return { decision: review.decision, inTime: true };
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
        const review = await pause({ approvalRequestId: "slow" });
        return { decision: review.decision, inTime: false, error: error.code };
      }
    },
  );

  agent.function(
    "timeout_work",
    { description: "Gives two prompts, one after the other, so many milliseconds together.", input: millis },
    async ({ ms }) => {
      const work = async (signal: AbortSignal) => {
        const first = await ai({ user: "a", signal });
        return [first, await ai({ user: "b", signal })];
      };
      try {
        return { answers: await timeout(ms, work) };
      } catch (error) {
        return { error: error instanceof TimeoutError ? error.code : String(error), last: await ai({ user: "c" }) };
      }
    },
  );

  agent.function(
    "signal_timeout",
    { description: "Gives a pause so many milliseconds by an `AbortSignal.timeout`.", input: millis },
    async ({ ms }) => {
      try {
        return await pause({ approvalRequestId: "signal", signal: AbortSignal.timeout(ms) });
      } catch (error) {
        return { error: (error as Error).name };
      }
    },
  );

  agent.function("abort", { description: "Gives two pauses up once a model has answered." }, async () => {
    const controller = new AbortController();
    const both = Promise.allSettled([
      pause({ approvalRequestId: "one", signal: controller.signal }),
      pause({ approvalRequestId: "two", signal: controller.signal }),
    ]);
    const answer = await ai({ user: "a" });
    controller.abort(new Error("no longer wanted"));
    const ends = await both;
    const last = await ai({ user: "b" });
    return {
      answer,
      last,
      ends: ends.map((end) => (end.status === "fulfilled" ? end.value.decision : end.reason.message)),
    };
  });

  agent.function("abandon", { description: "Gives an ask up at once, and asks it again." }, async () => {
    const first = ai({ user: "a" });
    const ended = first.catch((error: Error) => error.name);
    first.abandon();
    return { first: await ended, second: await ai({ user: "a" }) };
  });
}
