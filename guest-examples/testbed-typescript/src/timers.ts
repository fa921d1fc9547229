/** Sleeps, and the timers of JavaScript, which are sleeps. */

import { type Agent, ai, pause, sleep } from "countersign";
import * as z from "zod";

/** `setTimeout`, as a promise. */
function after<T>(ms: number, value: T): Promise<T> {
  return new Promise((resolve) => setTimeout(resolve, ms, value));
}

export function addTimers(agent: Agent): void {
  agent.function("sleep", { description: "Sleeps.", input: z.object({ ms: z.number() }) }, async ({ ms }) => {
    await sleep(ms);
    return { sleptMs: ms };
  });

  agent.function(
    "ticks",
    {
      description: "Sleeps for no time, often, and tells how much time that was. Pauses afterwards, if asked to.",
      input: z.object({ count: z.int(), pauses: z.int().default(0) }),
    },
    async ({ count, pauses }) => {
      const start = Date.now();
      for (let i = 0; i < count; i++) await sleep(0);
      const clockMs = Date.now() - start;
      for (let i = 0; i < pauses; i++) await pause({ approvalRequestId: `p${i}` });
      return { count, clockMs };
    },
  );

  agent.function(
    "timers",
    { description: "Sets timers of 20, 10 and 0 ms, clears one of 5, and tells their order." },
    async () => {
      const order: string[] = [];
      const note = (name: string) => () => void order.push(name);
      clearTimeout(setTimeout(note("cleared"), 5));
      const timers = Promise.all([
        after(20, "20").then(note("20")),
        after(10, "10").then(note("10")),
        after(0, "0").then(note("0")),
      ]);
      setImmediate(note("immediate"));
      queueMicrotask(note("microtask"));
      await null;
      order.push("now");
      await timers;
      return order;
    },
  );

  agent.function(
    "interval",
    { description: "Lets an interval tick three times, and asks a model meanwhile." },
    async () => {
      let ticks = 0;
      const ticked = new Promise<void>((resolve) => {
        const id = setInterval(() => {
          if (++ticks < 3) return;
          clearInterval(id);
          resolve();
        }, 5);
      });
      const [answer] = await Promise.all([ai({ user: "meanwhile" }), ticked]);
      return { answer, ticks };
    },
  );

  agent.function(
    "clock",
    { description: "Reads the clocks twice before and twice after asking a model." },
    async () => {
      const read = () => ({ wallMs: Date.now(), perfMs: performance.now(), year: new Date().getUTCFullYear() });
      const before = [read(), read()];
      await ai({ user: "what time is it?" });
      return { before, after: [read(), read()] };
    },
  );
}
