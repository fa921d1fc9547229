/**
 * What an execution asks and is told, in the form in which the host's journal holds it.
 *
 * The order of the fields is the journal's.
 */

/** One turn of a conversation with a model. */
export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export interface AiAsk {
  readonly kind: "ai";
  readonly messages: readonly Message[];
  readonly model?: string;
  /** A JSON Schema, as text. */
  readonly schema?: string;
  readonly temperature?: number;
  readonly max_tokens?: number;
}

export interface PauseAsk {
  readonly kind: "pause";
  readonly approval_request_id: string;
  readonly approval_request_url?: string;
  readonly expires_in_ms?: number;
  readonly title?: string;
  /** JSON, as text. */
  readonly payload?: string;
  /** A JSON Schema, as text. */
  readonly response_schema?: string;
  /** Left out where there are none. */
  readonly choices?: readonly string[];
}

export interface WaitForResumeAsk {
  readonly kind: "wait_for_resume";
  readonly approval_request_id: string;
  readonly timeout_ms?: number;
}

export interface CallAsk {
  readonly kind: "call";
  readonly target: string;
  /** JSON, as text. */
  readonly input: string;
}

export interface SleepAsk {
  readonly kind: "sleep";
  readonly duration_ms: number;
}

/** Anything that an agent asks of its host. */
export type AskRecord = AiAsk | PauseAsk | WaitForResumeAsk | CallAsk | SleepAsk;

export type Result<T, E> = { readonly Ok: T } | { readonly Err: E };

export interface CompletionRecord {
  readonly text: string;
  readonly model: string;
  readonly input_tokens: number;
  readonly output_tokens: number;
}

export type AiErrorRecord =
  | "rate_limited"
  | "budget_exhausted"
  | { readonly refused: string }
  | { readonly invalid_output: string }
  | { readonly unavailable: string };

export interface ReviewRecord {
  readonly decision: string;
  readonly feedback?: string;
  /** JSON, as text. */
  readonly response?: string;
  readonly reviewer?: string;
  readonly decided_at_ms: number;
}

export type PauseErrorRecord = { readonly invalid_request: string } | { readonly duplicate_id: string };

export type CallErrorRecord =
  | "cancelled"
  | { readonly not_found: string }
  | { readonly denied: string }
  /** JSON, as text. */
  | { readonly failed: string }
  | { readonly unavailable: string };

/** The answer to an ask. */
export type AnswerRecord =
  | { readonly ai: Result<CompletionRecord, AiErrorRecord> }
  | { readonly review: Result<ReviewRecord, PauseErrorRecord> }
  | { readonly call: Result<string, CallErrorRecord> }
  | "slept";
