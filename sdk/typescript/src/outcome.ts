import { AgentError } from "./errors.js";
import { errorName } from "./globals/inspect.js";

/** Longest message of a function's error; what is beyond it is cut off. */
const MESSAGE_CHARS_MAX = 16_384;

/** How a function that threw this has failed, for its caller. */
export function outcomeOf(thrown: unknown): { code: string; message: string } {
  try {
    const { code, message } = told(thrown);
    return { code: String(code), message: String(message).slice(0, MESSAGE_CHARS_MAX) };
  } catch {
    // It has getters that throw, or is a proxy.
    return { code: "Error", message: "what was thrown cannot be shown" };
  }
}

function told(thrown: unknown): { code: unknown; message: unknown } {
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
