/** What a component exports. The globals come first, so that the author's modules find them when they are loaded. */

import "./globals.js";

import * as author from "countersign:author";

import { Agent, type Manifest } from "../agent.js";
import { AgentError } from "../errors.js";
import { Execution, findExecutionBy } from "../execution.js";
import { outcomeOf } from "../outcome.js";
import { stringify } from "../values.js";
import { componentHost } from "./host.js";
import { writeError } from "./output.js";
import { begin } from "./phase.js";
import { trace } from "./trace.js";

let current: Execution | undefined;
findExecutionBy(() => current);

function agent(): Agent {
  const exported = (author as Record<string, unknown>)["default"];
  if (exported instanceof Agent) return exported;
  throw new AgentError("no_agent", "the entry file has no default export that is an `Agent`");
}

export function describe(): Manifest {
  return agent().manifest();
}

export async function run(name: string, input: string): Promise<string> {
  begin();
  const here = new Execution(componentHost);
  current = here;
  try {
    return await here.drive(() => agent().run(name, input));
  } catch (thrown) {
    writeError(trace(thrown));
    // A text is what the function's error is to the host.
    throw stringify(outcomeOf(thrown));
  }
}
