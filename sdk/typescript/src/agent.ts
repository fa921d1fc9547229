import { AgentError } from "./errors.js";
import { check, type Check, type Checked, type Schema, type Unchecked } from "./schema.js";
import { stringify } from "./values.js";

/** What a component says about itself. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly functions: readonly {
    readonly name: string;
    readonly description: string | undefined;
    readonly inputSchema: string | undefined;
    readonly outputSchema: string | undefined;
  }[];
}

/** What a function is, besides what it does. */
export interface FunctionOptions<I extends Schema | undefined, O extends Schema | undefined> {
  /** What it does, for people and for models. */
  description?: string | undefined;
  /** What it takes; otherwise any JSON. The host and this agent refuse what does not satisfy it. */
  input?: I;
  /** What it returns; otherwise any JSON. */
  output?: O;
}

type InputOf<I> = I extends Schema ? Checked<I> : any;
type OutputOf<O> = O extends Schema ? Unchecked<O> : unknown;

interface Declared {
  readonly description: string | undefined;
  readonly input: Check<unknown> | undefined;
  readonly output: Check<unknown> | undefined;
  readonly handler: (input: any) => unknown;
}

/** What the names of agents and functions look like. */
const NAME = /^[a-z][a-z0-9_-]{0,63}$/;

const FUNCTIONS_MAX = 256;

/**
 * An agent: a name and its functions. The entry file of a project exports one as its default.
 *
 * ```ts
 * export default new Agent({ name: "greeter", version: "1.0.0" }).function(
 *   "greet",
 *   { description: "Greets.", input: z.object({ name: z.string() }) },
 *   async ({ name }) => ({ greeting: await ai({ user: `Greet ${name}.` }) }),
 * );
 * ```
 */
export class Agent {
  readonly name: string;
  readonly version: string;
  readonly #functions = new Map<string, Declared>();

  constructor({ name, version = "0.0.0" }: { name: string; version?: string | undefined }) {
    mustBeName("the agent's name", name);
    if (typeof version !== "string") throw new TypeError("the agent's version must be a string");
    this.name = name;
    this.version = version;
  }

  /** Adds a function that takes any JSON. */
  function(name: string, handler: (input: any) => unknown): this;
  /** Adds a function. */
  function<const I extends Schema | undefined = undefined, const O extends Schema | undefined = undefined>(
    name: string,
    options: FunctionOptions<I, O>,
    handler: (input: InputOf<I>) => OutputOf<O> | Promise<OutputOf<O>>,
  ): this;
  function(
    name: string,
    options: FunctionOptions<Schema | undefined, Schema | undefined> | ((input: any) => unknown),
    handler?: (input: any) => unknown,
  ): this {
    if (typeof options === "function") return this.function(name, {}, options);
    mustBeName("a function's name", name);
    if (this.#functions.has(name)) throw new TypeError(`the agent has two functions of the name \`${name}\``);
    if (options.description !== undefined && typeof options.description !== "string")
      throw new TypeError(`the description of \`${name}\` must be a string`);
    if (typeof handler !== "function")
      throw new TypeError(`the function \`${name}\` has no handler: pass one, as the last argument`);
    if (this.#functions.size === FUNCTIONS_MAX) throw new TypeError(`an agent has at most ${FUNCTIONS_MAX} functions`);
    this.#functions.set(name, {
      description: options.description,
      input: ready(`the input schema of \`${name}\``, options.input, "input"),
      output: ready(`the output schema of \`${name}\``, options.output, "output"),
      handler,
    });
    return this;
  }

  /** What the host is told of this agent. */
  manifest(): Manifest {
    const functions = [...this.#functions].map(([name, { description, input, output }]) => ({
      name,
      description,
      inputSchema: input?.json,
      outputSchema: output?.json,
    }));
    return { name: this.name, version: this.version, functions };
  }

  /** Runs a function from JSON to JSON, for a host. A test does so by `run` of `countersign/testing`. */
  async run(name: string, input: string): Promise<string> {
    const found = this.#functions.get(name);
    if (!found) throw new AgentError("unknown_function", `this agent has no function \`${name}\``);
    const value = await checked("invalid_input", found.input, JSON.parse(input));
    const result = await checked("invalid_result", found.output, await found.handler(value));
    return written(result);
  }
}

function mustBeName(what: string, name: unknown): void {
  if (typeof name === "string" && NAME.test(name)) return;
  throw new TypeError(
    `${what} must be 1 to 64 of the characters a-z 0-9 _ -, starting with a letter, not ${JSON.stringify(name)}`,
  );
}

function ready(what: string, schema: Schema | undefined, direction: "input" | "output"): Check<unknown> | undefined {
  if (schema === undefined) return undefined;
  try {
    return check(schema, direction);
  } catch (cause) {
    throw new TypeError(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

async function checked(code: string, form: Check<unknown> | undefined, value: unknown): Promise<unknown> {
  if (!form) return value;
  const verdict = await form.check(value);
  if (verdict.issues) throw new AgentError(code, verdict.issues.join("; "));
  return verdict.value;
}

function written(result: unknown): string {
  try {
    return stringify(result ?? null) ?? "null";
  } catch (cause) {
    throw new AgentError("invalid_result", `the result cannot be written as JSON: ${String(cause)}`, { cause });
  }
}
