/** The contract in `wit/`, as componentize-qjs shows it to JavaScript. */

declare module "countersign:agent/host-blocking@0.1.0" {
  export type Result<T, E> = { tag: "ok"; val: T } | { tag: "err"; val: E };

  export type Variant = { tag: string; val?: unknown };

  export type WitAsk =
    | { tag: "ai"; val: WitPrompt }
    | { tag: "pause"; val: WitApprovalRequest }
    | { tag: "wait-for-resume"; val: { approvalRequestId: string; timeoutMs: number | undefined } }
    | { tag: "review-link"; val: { approvalRequestId: string; reviewer: string } }
    | { tag: "call"; val: { target: string; input: string } }
    | { tag: "sleep"; val: number };

  export interface WitPrompt {
    messages: { role: string; content: string }[];
    model: string | undefined;
    schema: string | undefined;
    temperature: number | undefined;
    maxTokens: number | undefined;
  }

  export interface WitApprovalRequest {
    approvalRequestId: string;
    approvalRequestUrl: string | undefined;
    expiresInMs: number | undefined;
    defaultDecision: string | undefined;
    title: string | undefined;
    payload: string | undefined;
    editable: boolean;
    responseSchema: string | undefined;
    choices: string[];
    feedbackRequired: string[];
    stages: { reviewers: string[]; required: number }[];
    rejection: string;
    forbidSelfApproval: boolean;
    remindersMs: number[];
    escalations: { afterMs: number; reviewers: string[]; notify: string[] }[];
    notify: string[];
  }

  export interface WitReview {
    decision: string;
    feedback?: string | null;
    response?: string | null;
    reviewer?: string | null;
    decidedAtMs: number;
    votes: WitVote[];
  }

  export interface WitVote {
    reviewer: string;
    claimed: boolean;
    stage: number;
    decision: string;
    feedback?: string | null;
    response?: string | null;
    votedAtMs: number;
  }

  export interface WitCompletion {
    text: string;
    model: string;
    usage: { inputTokens: number; outputTokens: number };
  }

  export type WitAnswer =
    | { tag: "ai"; val: Result<WitCompletion, Variant> }
    | { tag: "review"; val: Result<WitReview, Variant> }
    | { tag: "link"; val: Result<string, Variant> }
    | { tag: "call"; val: Result<string, Variant> }
    | { tag: "sleep" };

  export function executionId(): string;
  export function submit(ask: WitAsk): number;
  export function waitAny(ops: number[]): [op: number, answer: WitAnswer];
  export function abandon(op: number): void;
}

declare module "wasi:clocks/monotonic-clock@0.3.0" {
  export function waitFor(nanos: number): Promise<void>;
}

declare module "wasi:cli/stdout@0.2.6" {
  export function getStdout(): { blockingWriteAndFlush(bytes: Uint8Array): void };
}

declare module "wasi:cli/stderr@0.2.6" {
  export function getStderr(): { blockingWriteAndFlush(bytes: Uint8Array): void };
}

declare module "wasi:random/random@0.2.6" {
  export function getRandomBytes(length: number): Uint8Array;
}

/** The author's entry file; `build/bundle.js` says which. */
declare module "countersign:author" {
  const exports: Record<string, unknown>;
  export = exports;
}
