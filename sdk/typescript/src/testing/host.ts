/** A pretended host: it answers what the test says, and its clock jumps to when the next answer is due. */

import type { Host } from "../execution.js";
import type { AnswerRecord, AskRecord, PauseAsk, ReviewRecord } from "../journal.js";
import { PauseError } from "../errors.js";
import { AnswerError, Decision, Delayed, expired } from "./answers.js";
import { refusal, WAIT_MS_MAX } from "./approval.js";
import { Known, recordOf } from "./record.js";

/** An answered ask, as in the host's journal. */
export interface Entry {
  readonly seq: number;
  readonly op: number;
  readonly ask: AskRecord;
  readonly answer: AnswerRecord;
  /** What the agent's clocks show from this answer on. */
  readonly at: number;
}

export interface LogLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** The answers in the order in which the asks are made, sleeps and links left out; or what answers each. */
export type Answers = readonly unknown[] | ((ask: AskRecord, op: number) => unknown);

/** An ask that waits. `due` is when its answer comes; none: it has not been looked for yet. */
interface Open {
  readonly op: number;
  readonly ask: AskRecord;
  readonly askedAt: number;
  /** Of a pause, or of what a wait waits for. */
  readonly id: string | undefined;
  due: number | undefined;
  answer: unknown;
  /** The pause that the answer decides. */
  by: PauseAsk | undefined;
}

const realSetImmediate = setImmediate;

export class TestHost implements Host {
  readonly executionId: string;
  readonly answers: Answers;
  /** What to answer first, in this order: a replay. */
  readonly recorded: readonly Entry[];
  readonly asks: AskRecord[] = [];
  readonly journal: Entry[] = [];
  readonly log: LogLine[] = [];
  readonly #open = new Map<number, Open>();
  /** The pauses that were opened, and what was decided, by their ids. */
  readonly #pauses = new Map<string, Open>();
  readonly #decided = new Map<string, ReviewRecord>();
  /** How many pauses were asked for under each name, and by which ask the last of them, unless that was refused. */
  readonly #named = new Map<string, { count: number; op: number | undefined }>();
  #now: number;
  #taken = 0;

  constructor(executionId: string, now: number, answers: Answers, recorded: readonly Entry[] = []) {
    this.executionId = executionId;
    this.#now = now;
    this.answers = answers;
    this.recorded = recorded;
  }

  get now(): number {
    return this.#now;
  }

  /** How many answers the test gave that no ask took. */
  get unused(): number {
    return typeof this.answers === "function" ? 0 : Math.max(0, this.answers.length - this.#taken);
  }

  // Every promise that can go on has gone on before Node comes to what `setImmediate` was given.
  settle(): Promise<void> {
    return new Promise((resolve) => void realSetImmediate(resolve));
  }

  submit(ask: AskRecord): number {
    const op = this.asks.length;
    this.asks.push(ask);
    const id = ask.kind === "wait_for_resume" ? ask.approval_request_id : this.#number(op, ask);
    this.#open.set(op, { op, ask, askedAt: this.#now, id, due: undefined, answer: undefined, by: undefined });
    return op;
  }

  /** The id of a new pause: that of the second one under a name is `name#2`. */
  #number(op: number, ask: AskRecord): string | undefined {
    if (ask.kind !== "pause") return undefined;
    const name = ask.approval_request_id;
    const count = (this.#named.get(name)?.count ?? 0) + 1;
    this.#named.set(name, { count, op });
    return count === 1 ? name : `${name}#${count}`;
  }

  abandon(op: number): void {
    this.#open.delete(op);
  }

  complain(text: string): void {
    this.print("stderr", text);
  }

  print(stream: "stdout" | "stderr", text: string): void {
    this.log.push(...text.split("\n").map((line) => ({ stream, text: line })));
  }

  async waitAny(ops: number[]): Promise<[number, AnswerRecord]> {
    const recorded = this.recorded[this.journal.length];
    if (recorded) return this.#replay(recorded);
    for (const open of this.#open.values()) await this.#plan(open);
    const waiting = ops.map((op) => this.#open.get(op)!);
    const first = waiting.reduce((best, open) => (open.due! < best.due! ? open : best));
    if (first.due === Number.POSITIVE_INFINITY) throw new AnswerError(unanswered(waiting));
    this.#now = Math.max(this.#now, first.due!);
    return this.#deliver(first.op, recordOf(first.ask, first.answer, this.#now, first.by));
  }

  #replay({ op, ask, answer, at }: Entry): [number, AnswerRecord] {
    const asked = this.#open.get(op)?.ask;
    if (JSON.stringify(asked) !== JSON.stringify(ask)) throw new ReplayError(op, ask, asked);
    this.#now = at;
    return this.#deliver(op, answer);
  }

  #deliver(op: number, answer: AnswerRecord): [number, AnswerRecord] {
    const { ask, id } = this.#open.get(op)!;
    this.#open.delete(op);
    if (typeof answer === "object" && "review" in answer) this.#settle(op, ask, id!, answer.review);
    this.journal.push({ seq: this.journal.length, op, ask, answer, at: this.#now });
    return [op, answer];
  }

  /** Takes note of what a pause has come to. */
  #settle(op: number, ask: AskRecord, id: string, review: { Ok: ReviewRecord } | { Err: unknown }): void {
    if ("Ok" in review) {
      // The time of a wait may be over; the pause is not.
      if (ask.kind === "pause" || review.Ok.decision !== "expired") this.#decided.set(id, review.Ok);
      return;
    }
    if (ask.kind !== "pause") return;
    this.#pauses.delete(id);
    // It has not used its number up, unless the next one has followed.
    const named = this.#named.get(ask.approval_request_id);
    if (named?.op === op) this.#named.set(ask.approval_request_id, { count: named.count - 1, op: undefined });
  }

  /** Finds out when an open ask is answered, and by what. */
  async #plan(open: Open): Promise<void> {
    const { ask, id } = open;
    const known = id === undefined ? undefined : this.#decided.get(id);
    // Whoever else waits for the same decision gets it, at once.
    if (known && !(open.answer instanceof PauseError)) {
      open.due = open.askedAt;
      open.answer = new Known(known);
    }
    if (open.due !== undefined) return;
    const why = refusal(ask);
    if (why !== undefined) return plan(open, 0, new PauseError("invalid_request", why));
    if (ask.kind === "review_link") return plan(open, 0, undefined);
    if (ask.kind === "pause") {
      this.#pauses.set(id!, open);
      open.by = ask;
    }
    const pause = ask.kind === "wait_for_resume" ? this.#pauses.get(ask.approval_request_id) : undefined;
    if (pause) {
      open.by = pause.by;
      return plan(open, pause.due! - open.askedAt, pause.answer, timeoutOf(ask));
    }
    let answer = await this.#answerTo(open);
    let ms = 0;
    if (answer instanceof Delayed) [ms, answer] = [answer.ms, answer.answer];
    if (open.ask.kind === "sleep") ms = Math.min(open.ask.duration_ms, WAIT_MS_MAX);
    plan(open, ms, answer, timeoutOf(open.ask));
  }

  async #answerTo({ ask, op }: Open): Promise<unknown> {
    if (typeof this.answers === "function") return this.answers(ask, op);
    if (ask.kind === "sleep") return undefined;
    if (this.#taken < this.answers.length) return this.answers[this.#taken++];
    return new Delayed(Number.POSITIVE_INFINITY, undefined);
  }
}

function plan(open: Open, ms: number, answer: unknown, timeout = Number.POSITIVE_INFINITY): void {
  const isLate = ms >= timeout;
  const wait = isLate
    ? timeout
    : answer instanceof Decision && answer.decision === "expired"
      ? Math.min(timeout, WAIT_MS_MAX)
      : ms;
  open.due = open.askedAt + wait;
  open.answer = isLate ? expired() : answer;
  // The end of a wait is none of the pause.
  if (isLate && open.ask.kind === "wait_for_resume") open.by = undefined;
}

function timeoutOf(ask: AskRecord): number | undefined {
  const ms = ask.kind === "pause" ? ask.expires_in_ms : ask.kind === "wait_for_resume" ? ask.timeout_ms : undefined;
  return ms === undefined ? undefined : Math.min(ms, WAIT_MS_MAX);
}

function unanswered(waiting: readonly Open[]): string {
  const asks = waiting.map(({ op, ask }) => `\n  ${op}: ${JSON.stringify(ask)}`).join("");
  return `the test gives no answer to what the agent waits for; add one to \`answers\` for one of${asks}`;
}

/** The agent asked something else when it was replayed. On a host its execution would fail with `mismatch`. */
export class ReplayError extends Error {
  override name = "ReplayError";
  readonly op: number;
  readonly recorded: AskRecord;
  readonly asked: AskRecord | undefined;

  constructor(op: number, recorded: AskRecord, asked: AskRecord | undefined) {
    super(
      `on replay, ask ${op} is not the one that was answered. Recorded: ${JSON.stringify(recorded)}. ` +
        `Asked now: ${asked ? JSON.stringify(asked) : "nothing"}. What an agent asks must depend on nothing but its ` +
        "input and the answers so far.",
    );
    this.op = op;
    this.recorded = recorded;
    this.asked = asked;
  }
}
