/**
 * Runs an agent's function in memory: the test answers what it asks, and looks at what that was.
 *
 * ```ts
 * import { approved, run } from "countersign/testing";
 *
 * const { result, asks } = await run(agent, "publish", { brief: "Spring" }, { answers: ["A draft.", approved()] });
 * ```
 */

import type { Agent } from "../agent.js";
import type { AskRecord } from "../journal.js";
import { inspect } from "../globals/inspect.js";
import { outcomeOf } from "../outcome.js";
import { json } from "../values.js";
import { AnswerError } from "./answers.js";
import { sceneOf, within } from "./globals.js";
import { type Answers, type Entry, type LogLine, ReplayError, TestHost } from "./host.js";

export {
  after,
  AnswerError,
  approved,
  changesRequested,
  type Decision,
  decided,
  expired,
  never,
  rejected,
  type ReviewDetails,
} from "./answers.js";
export { type Answers, type Entry, type LogLine, ReplayError } from "./host.js";
export type { AnswerRecord, AskRecord } from "../journal.js";

export interface RunOptions {
  /**
   * What the asks are answered with.
   *
   * A list has the answers in the order in which the asks are made; sleeps and links need none. Or it is a function of
   * the ask.
   * An answer is, to a model's prompt, a text, or with a schema any value; to a pause `approved()`, `rejected()`,
   * `decided("…")` or `expired()`; to a call its result. An `AiError`, a `PauseError` or a `CallError` is a failure.
   * `after(ms, answer)` comes later, and `never()` not at all. The link of a `reviewLink` is
   * `https://countersign.invalid/r/{approvalRequestId}/{reviewer}`.
   */
  answers?: Answers;
  executionId?: string;
  /** What the agent's clocks show at the start. */
  now?: Date;
  /** Where its random numbers come from. */
  seed?: number;
  /** Whether it is run a second time, from the journal of the first, and must ask the same; otherwise it is. */
  replay?: boolean;
}

/** What came of a run. */
export interface Outcome {
  /** What the function returned, as JSON; undefined if it failed. */
  readonly result: any;
  /** What the function failed with, as its caller sees it. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
  /** What was thrown. */
  readonly thrown: unknown;
  /** All that was asked, in the order of asking, in the form of the host's journal. */
  readonly asks: readonly AskRecord[];
  /** All that was answered, in the order of answering. */
  readonly journal: readonly Entry[];
  readonly log: readonly LogLine[];
}

/**
 * Runs a function until it ends.
 *
 * Then runs it again, from the answers of the first run, as a host does after a crash.
 *
 * @throws AnswerError if the answers are not what a host could give, or there are too few or too many
 * @throws ReplayError if the agent asks something else the second time
 */
export async function run(
  agent: Agent,
  name: string,
  input: unknown = null,
  options: RunOptions = {},
): Promise<Outcome> {
  const text = json("the input", input);
  const host = makeHost(options, []);
  const outcome = await once(agent, name, text, host, options);
  if (host.unused > 0)
    throw new AnswerError(`the agent made fewer asks than there are answers: ${host.unused} were not needed`);
  if (options.replay !== false) await replay(agent, name, text, outcome, options);
  return outcome;
}

const EXECUTION_ID = "exec_00000000000000000000000000000000";
const START = Date.UTC(2026, 0, 1);

function makeHost(options: RunOptions, recorded: readonly Entry[]): TestHost {
  const start = options.now?.getTime() ?? START;
  return new TestHost(options.executionId ?? EXECUTION_ID, start, options.answers ?? [], recorded);
}

async function once(agent: Agent, name: string, input: string, host: TestHost, options: RunOptions): Promise<Outcome> {
  const scene = sceneOf(host, options.seed ?? 1);
  const end = await within(scene, async () => {
    try {
      return { result: JSON.parse(await scene.execution.drive(() => agent.run(name, input))) as unknown };
    } catch (thrown) {
      if (thrown instanceof AnswerError || thrown instanceof ReplayError) throw thrown;
      host.complain(`Uncaught ${inspect(thrown)}`);
      return { error: outcomeOf(thrown), thrown };
    }
  });
  const { asks, journal, log } = host;
  return { result: undefined, error: undefined, thrown: undefined, ...end, asks, journal, log };
}

async function replay(agent: Agent, name: string, input: string, first: Outcome, options: RunOptions): Promise<void> {
  const host = makeHost(options, first.journal);
  const again = await once(agent, name, input, host, options);
  first.asks.forEach((ask, op) => {
    if (JSON.stringify(ask) !== JSON.stringify(again.asks[op])) throw new ReplayError(op, ask, again.asks[op]);
  });
  const ends = [first, again].map(({ result, error }) => JSON.stringify({ result, error }));
  if (ends[0] !== ends[1]) {
    throw new AnswerError(`the function ended differently when it was replayed: first ${ends[0]}, then ${ends[1]}`);
  }
}
