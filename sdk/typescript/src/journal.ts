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
  readonly default_decision?: string;
  readonly title?: string;
  /** JSON, as text. */
  readonly payload?: string;
  readonly editable?: true;
  /** A JSON Schema, as text. */
  readonly response_schema?: string;
  /** These lists are left out where there is nothing in them. */
  readonly choices?: readonly string[];
  readonly feedback_required?: readonly string[];
  readonly stages?: readonly StageRecord[];
  /** Left out where the first refusal decides. */
  readonly rejection?: "majority";
  readonly forbid_self_approval?: true;
  readonly reminders_ms?: readonly number[];
  readonly escalations?: readonly EscalationRecord[];
  readonly notify?: readonly string[];
}

export interface StageRecord {
  /** Empty: whoever may decide. */
  readonly reviewers: readonly string[];
  readonly required: number;
}

export interface EscalationRecord {
  readonly after_ms: number;
  readonly reviewers?: readonly string[];
  readonly notify?: readonly string[];
}

export interface WaitForResumeAsk {
  readonly kind: "wait_for_resume";
  readonly approval_request_id: string;
  readonly timeout_ms?: number;
}

export interface ReviewLinkAsk {
  readonly kind: "review_link";
  readonly approval_request_id: string;
  readonly reviewer: string;
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
export type AskRecord = AiAsk | PauseAsk | WaitForResumeAsk | ReviewLinkAsk | CallAsk | SleepAsk;

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
  /** Left out where there are none. */
  readonly votes?: readonly VoteRecord[];
}

export interface VoteRecord {
  readonly reviewer: string;
  readonly claimed?: true;
  readonly stage: number;
  readonly decision: string;
  readonly feedback?: string;
  /** JSON, as text. */
  readonly response?: string;
  readonly voted_at_ms: number;
}

export type PauseErrorRecord = { readonly invalid_request: string };

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
  | { readonly link: Result<string, PauseErrorRecord> }
  | { readonly call: Result<string, CallErrorRecord> }
  | "slept";
