/** Chance, the log, and the globals that the SDK gives. */

import { type Agent, ai, note } from "countersign";
import * as z from "zod";

function draw(): unknown {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return { random: Math.random(), uuid: crypto.randomUUID(), bytes: [...bytes] };
}

export function addSources(agent: Agent): void {
  agent.function("chance", { description: "Draws random numbers before and after asking a model." }, async () => {
    const before = [draw(), draw()];
    await ai({ user: "a number?" });
    return { before, after: draw() };
  });

  agent.function("chance_in_asks", { description: "Asks what it has drawn." }, async () => {
    return [await ai({ user: crypto.randomUUID() }), await ai({ user: String(Math.random()) })];
  });

  agent.function(
    "log",
    {
      description: "Prints so many lines to both streams, before and after asking a model.",
      input: z.object({ lines: z.int() }),
    },
    async ({ lines }) => {
      const print = (when: string) => {
        for (let i = 0; i < lines; i++) {
          console.log("out", when, i);
          console.error("err %s %d", when, i);
        }
      };
      print("before");
      console.log({ nested: { list: [1, "zwei", null], when: new Date(0) } }, new Map([["ключ", new Set([1n])]]));
      note("a note", new TypeError("shown, not thrown").message);
      await ai({ user: "anything to add?" });
      print("after");
      return { lines };
    },
  );

  agent.function("globals", { description: "Uses every global that the SDK gives." }, async () => {
    const url = new URL("../b?x=1#y", "https://user@example.com:8443/a/c");
    url.searchParams.append("q", "ü &");
    const bytes = new TextEncoder().encode("aé世🌍");
    const circular: { self?: unknown; at: Date } = { at: new Date(0) };
    circular.self = circular;
    const copy = structuredClone(circular);
    return {
      url: url.href,
      bytes: [...bytes],
      text: new TextDecoder().decode(bytes),
      broken: new TextDecoder().decode(new Uint8Array([0x61, 0xff, 0xe4, 0xb8, 0x62])),
      lone: new TextDecoder().decode(new TextEncoder().encode("\ud800x")),
      base64: atob(btoa("hi")),
      cloned: copy.self === copy && copy !== circular && copy.at.getTime() === 0,
      regexp: "2026-11-22".replace(/(?<y>\d+)-(?<m>\d+)-(?<d>\d+)/u, "$<d>.$<m>.$<y>"),
      unexpected: ["Intl", "process", "require", "Buffer", "WebAssembly"].filter((name) => name in globalThis),
    };
  });
}
