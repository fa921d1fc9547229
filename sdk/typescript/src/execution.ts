/** What one execution has open, and how it waits. */

import { AgentError } from "./errors.js";
import type { AnswerRecord, AskRecord } from "./journal.js";

/** Where asks go: the real host in a component, a pretended one in a test. */
export interface Host {
  readonly executionId: string;
  /** Returns when nothing in the agent can go on without an answer or a timer. */
  settle(): Promise<void>;
  /** Opens an ask and returns its number. */
  submit(ask: AskRecord): number;
  /** Waits for one of these asks. Blocks in a component, so nothing else must have to go on. */
  waitAny(ops: number[]): [op: number, answer: AnswerRecord] | Promise<[op: number, answer: AnswerRecord]>;
  abandon(op: number): void;
  /** Notes something on stderr. */
  complain(text: string): void;
}

interface Open {
  readonly deliver: (answer: AnswerRecord) => void;
}

/** One run of one function: its open asks, and what is to be done before it waits. */
export class Execution {
  readonly host: Host;
  readonly #open = new Map<number, Open>();
  /** Due without an answer: timers of no time, in the order in which they were set. */
  readonly #due: (() => void)[] = [];
  #crash: { error: unknown } | undefined;

  constructor(host: Host) {
    this.host = host;
  }

  submit(ask: AskRecord, deliver: (answer: AnswerRecord) => void): number {
    const op = this.host.submit(ask);
    this.#open.set(op, { deliver });
    return op;
  }

  /** Gives an ask up, if it is still open. Whoever waits for it has to be told by the caller. */
  abandon(op: number): void {
    if (this.#open.delete(op)) this.host.abandon(op);
  }

  /** Runs this when everything else waits, before the next answer. */
  soon(task: () => void): void {
    this.#due.push(task);
  }

  /** Ends the execution with this error, as an exception that no caller can catch. */
  crash(error: unknown): void {
    this.#crash ??= { error };
  }

  /** Runs to the end, one answer after the other. */
  async drive<T>(main: () => Promise<T>): Promise<T> {
    let end: { value: T } | undefined;
    main().then(
      (value) => (end = { value }),
      (error: unknown) => this.crash(error),
    );
    for (;;) {
      await this.host.settle();
      if (this.#crash) throw this.#crash.error;
      if (end) return end.value;
      const task = this.#due.shift();
      if (task) {
        this.#attempt(task);
        continue;
      }
      if (this.#open.size === 0) throw stuck();
      const [op, answer] = await this.host.waitAny([...this.#open.keys()]);
      const open = this.#open.get(op);
      this.#open.delete(op);
      open?.deliver(answer);
    }
  }

  #attempt(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.crash(error);
    }
  }
}

function stuck(): AgentError {
  return new AgentError(
    "stuck",
    "the function waits, but for none of its asks: it can never go on. It awaits a promise that nothing will settle.",
  );
}

let find: () => Execution | undefined = () => undefined;

/** Says how the execution is found in which the present code runs. */
export function findExecutionBy(finder: () => Execution | undefined): void {
  find = finder;
}

export function executionIfAny(): Execution | undefined {
  return find();
}

/** The execution in which the present code runs. */
export function execution(): Execution {
  const found = find();
  if (!found) {
    throw new AgentError(
      "no_execution",
      "an agent asks only while one of its functions runs: not while its module is loaded, and in a test only in `run`",
    );
  }
  return found;
}

/**
 * The id of this execution. The same on every replay.
 *
 * `{executionId()}:{approvalRequestId}` is the id of a pause for those who decide it; that of the second pause under a
 * name ends in `#2`.
 */
export function executionId(): string {
  return execution().host.executionId;
}
