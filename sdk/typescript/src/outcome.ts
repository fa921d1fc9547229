import { AgentError } from "./errors.js";
import { errorName } from "./globals/inspect.js";

/** How a function that threw this has failed, for its caller. */
export function outcomeOf(thrown: unknown): { code: string; message: string } {
  if (thrown instanceof AgentError) return { code: thrown.code, message: thrown.message };
  if (thrown instanceof Error) return { code: errorName(thrown), message: thrown.message };
  return { code: "Error", message: `thrown: ${typeof thrown === "string" ? thrown : safeJson(thrown)}` };
}

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
