import { Ask, type AskOptions } from "./ask.js";
import { callError, CallError } from "./errors.js";
import { json, parse, text } from "./values.js";

/**
 * Runs another agent's function, as an execution of its own, and waits for its result.
 *
 * The called execution is created exactly once, however often this one is replayed, and is cancelled with it. That the
 * result is a `T` is not checked.
 *
 * @param target `agent.function`
 * @param input What that function takes: any JSON.
 */
export function call<T = unknown>(target: string, input: unknown = null, options: AskOptions = {}): Ask<T> {
  return Ask.ask<T>(
    () => ({
      kind: "call",
      target: text("call: the target", target),
      input: json("call: the input", input),
    }),
    (answer) => {
      if (typeof answer === "string" || !("call" in answer)) throw new Error("the host gave an answer of another kind");
      if ("Err" in answer.call) throw callError(answer.call.Err, target);
      return result(target, answer.call.Ok) as T;
    },
    options,
  );
}

function result(target: string, written: string): unknown {
  try {
    return parse(written);
  } catch (error) {
    throw new CallError("unavailable", `the result of ${target} cannot be read: ${String(error)}`);
  }
}
