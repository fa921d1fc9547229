/**
 * What a Countersign agent is written with.
 *
 * Whatever a function awaits here may take days and outlive the process: the host keeps every answer, and runs the
 * function again from its start to where it was. So what it asks must follow from its input and the answers so far.
 */

export type { Escalation, Stage } from "./approval.js";
export { Agent, type FunctionOptions, type Manifest } from "./agent.js";
export { ai, completion, type Completion, type Prompt } from "./ai.js";
export { Ask, type AskOptions } from "./ask.js";
export { call } from "./call.js";
export {
  AgentError,
  AiError,
  type AiErrorKind,
  CallError,
  type CallErrorKind,
  PauseError,
  type PauseErrorKind,
  TimeoutError,
} from "./errors.js";
export { executionId } from "./execution.js";
export type { Message } from "./journal.js";
export type { FromJsonSchema, JsonSchema } from "./json-schema.js";
export { note } from "./note.js";
export { pause, type PauseRequest, type Reconnection, reviewLink, waitForResume } from "./pause.js";
export type { Review, Vote } from "./review.js";
export type { Checked, Schema } from "./schema.js";
export type { StandardSchema } from "./standard.js";
export { sleep, timeout } from "./time.js";
