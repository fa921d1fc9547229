import { Ask, type AskOptions } from "./ask.js";
import { AiError, aiError } from "./errors.js";
import type { AiAsk, AnswerRecord, CompletionRecord, Message } from "./journal.js";
import { check, type Check, type Checked, type Schema, type Verdict } from "./schema.js";
import { optionalNumber, optionalText, present, text } from "./values.js";

/** What a model is asked. At least one of `system`, `messages` and `user`; they are sent in this order. */
export interface Prompt extends AskOptions {
  /** Instructions that stand above the conversation. */
  system?: string | undefined;
  /** Turns of the conversation, oldest first; at most 256 messages in all. */
  messages?: readonly Message[] | undefined;
  /** What the user says. */
  user?: string | undefined;
  /** The model's name; otherwise it is the host's default. */
  model?: string | undefined;
  /** The sampling temperature, 0 to 2; otherwise it is the model's default. */
  temperature?: number | undefined;
  /** The most tokens that the answer may have; otherwise the bound is the model's default. */
  maxTokens?: number | undefined;
}

/** What a model answered, with what it consumed. */
export interface Completion {
  readonly text: string;
  /** The model that answered. */
  readonly model: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/**
 * Asks a model, and waits for the answer's text.
 *
 * With a `schema` it waits for a value that satisfies it. An answer that does not is an `AiError` of the kind
 * `invalid_output`.
 */
export function ai<const S extends Schema>(prompt: Prompt & { schema: S }): Ask<Checked<S>>;
export function ai(prompt: Prompt & { schema?: undefined }): Ask<string>;
export function ai(prompt: Prompt & { schema?: Schema | undefined }): Ask<unknown> {
  let form: Check<unknown> | undefined;
  return Ask.ask(
    () => {
      form = prompt.schema === undefined ? undefined : check(prompt.schema);
      return aiAsk(prompt, form?.json);
    },
    (answer) => {
      const { text } = completed(answer);
      return form ? structured(text, form) : text;
    },
    prompt,
  );
}

/** The same, with the model that gave the answer and what it consumed. */
export function completion(prompt: Prompt): Ask<Completion> {
  return Ask.ask(
    () => aiAsk(prompt, undefined),
    (answer) => {
      const { text, model, input_tokens, output_tokens } = completed(answer);
      return { text, model, inputTokens: input_tokens, outputTokens: output_tokens };
    },
    prompt,
  );
}

/** The most tokens that fit the contract's type. */
const TOKENS_MAX = 2 ** 32 - 1;

function aiAsk(prompt: Prompt, schema: string | undefined): AiAsk {
  const messages = [
    ...(prompt.system == null ? [] : [{ role: "system", content: prompt.system } as const]),
    ...(prompt.messages ?? []),
    ...(prompt.user == null ? [] : [{ role: "user", content: prompt.user } as const]),
  ];
  if (messages.length === 0) throw new TypeError("ai: a prompt has a `system`, a `user` or some `messages`");
  const maxTokens = optionalNumber("ai: maxTokens", prompt.maxTokens, TOKENS_MAX);
  return present<AiAsk>({
    kind: "ai",
    messages: messages.map(message),
    model: optionalText("ai: model", prompt.model),
    schema,
    temperature: optionalNumber("ai: temperature", prompt.temperature, 2),
    max_tokens: maxTokens === undefined ? undefined : Math.floor(maxTokens),
  });
}

function message({ role, content }: Message): Message {
  if (role !== "system" && role !== "user" && role !== "assistant") {
    throw new TypeError(`ai: the role of a message is system, user or assistant, not ${String(role)}`);
  }
  return { role, content: text(`ai: the ${role} message`, content) };
}

function completed(answer: AnswerRecord): CompletionRecord {
  if (typeof answer === "string" || !("ai" in answer)) throw new Error("the host gave an answer of another kind");
  if ("Err" in answer.ai) throw aiError(answer.ai.Err);
  return answer.ai.Ok;
}

function structured<T>(text: string, form: Check<T>): T | Promise<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AiError("invalid_output", `the model's answer is no JSON: ${String(cause)}`, { cause });
  }
  const verdict = form.check(value);
  return verdict instanceof Promise ? verdict.then(accepted) : accepted(verdict);
}

function accepted<T>(verdict: Verdict<T>): T {
  if (verdict.issues) throw new AiError("invalid_output", verdict.issues.join("; "));
  return verdict.value;
}
