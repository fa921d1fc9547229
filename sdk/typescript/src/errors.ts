import type { AiErrorRecord, CallErrorRecord, PauseErrorRecord } from "./journal.js";
import { parse } from "./values.js";

/**
 * How a function fails on purpose. Its caller sees `{"code": …, "message": …}`.
 *
 * Anything else that is thrown becomes such an error too, with the name of its class as the code.
 */
export class AgentError extends Error {
  override name = "AgentError";
  /** What went wrong, for programs: lower-case words joined by `_`. */
  readonly code: string;

  /** @param message What went wrong, for people. */
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export type AiErrorKind = "refused" | "rate_limited" | "budget_exhausted" | "invalid_output" | "unavailable";

/** A model did not answer. */
export class AiError extends AgentError {
  override name = "AiError";
  /** Why; the code is the same with `ai_` before it. */
  readonly kind: AiErrorKind;

  constructor(kind: AiErrorKind, message: string, options?: { cause?: unknown }) {
    super(`ai_${kind}`, message, options);
    this.kind = kind;
  }
}

export type PauseErrorKind = "invalid_request" | "invalid_response";

/** A pause could not be opened, a link to it not be made, or its form was filled in with something else than its schema allows. */
export class PauseError extends AgentError {
  override name = "PauseError";
  /** Why; the code is the same with `pause_` before it. */
  readonly kind: PauseErrorKind;

  constructor(kind: PauseErrorKind, message: string, options?: { cause?: unknown }) {
    super(`pause_${kind}`, message, options);
    this.kind = kind;
  }
}

export type CallErrorKind = "not_found" | "denied" | "failed" | "cancelled" | "unavailable";

/** A call gave no result. */
export class CallError extends AgentError {
  override name = "CallError";
  /** Why; the code is the same with `call_` before it. */
  readonly kind: CallErrorKind;
  /** What the called function failed with; only of the kind `failed`. */
  readonly error: unknown;

  constructor(kind: CallErrorKind, message: string, error?: unknown) {
    super(`call_${kind}`, message);
    this.kind = kind;
    this.error = error;
  }
}

/** An ask took longer than `timeout` gave it, and was given up. */
export class TimeoutError extends AgentError {
  override name = "TimeoutError";

  constructor(message: string) {
    super("timeout", message);
  }
}

/** The kind and the text of one of the journal's error variants. */
function variant(record: string | object): [kind: string, text: string] {
  if (typeof record === "string") return [record, ""];
  const [entry] = Object.entries(record);
  return entry ? [entry[0], String(entry[1])] : ["unavailable", "the host gave no reason"];
}

export function aiError(record: AiErrorRecord): AiError {
  const [kind, text] = variant(record);
  const said: Record<string, string> = {
    rate_limited: "the model's provider limits the rate",
    budget_exhausted: "no budget is left for models",
  };
  return new AiError(kind as AiErrorKind, said[kind] ?? text);
}

export function pauseError(record: PauseErrorRecord): PauseError {
  const [kind, text] = variant(record);
  return new PauseError(kind as PauseErrorKind, text);
}

export function callError(record: CallErrorRecord, target: string): CallError {
  const [kind, text] = variant(record);
  switch (kind) {
    case "failed": {
      const error = parsedOrText(text);
      return new CallError("failed", `${target} failed: ${messageOf(error) ?? text}`, error);
    }
    case "not_found":
      return new CallError("not_found", `no such function: ${text}`);
    case "denied":
      return new CallError("denied", `the call is not allowed: ${text}`);
    case "cancelled":
      return new CallError("cancelled", "the called execution was cancelled");
    default:
      return new CallError("unavailable", `the call could not be carried out: ${text}`);
  }
}

function messageOf(error: unknown): string | undefined {
  const message = typeof error === "object" && error !== null ? (error as { message?: unknown }).message : undefined;
  return typeof message === "string" ? message : undefined;
}

/** An agent may fail with any text; what is no JSON is passed on as a string. */
function parsedOrText(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return text;
  }
}
