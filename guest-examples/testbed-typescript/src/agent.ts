/** Asks, waits and misbehaves in every way that the tests of the host need. Every function does one thing. */

import { Agent } from "countersign";

import { addConcurrency } from "./concurrency.js";
import { addFailures } from "./failures.js";
import { addGivingUp } from "./giving-up.js";
import { addModels } from "./models.js";
import { addPeople } from "./people.js";
import { addSources } from "./sources.js";
import { addTimers } from "./timers.js";

const agent = new Agent({ name: "testbed-typescript", version: "1.0.0" });

agent.function("echo", { description: "Returns its input." }, async (input) => input);
addConcurrency(agent);
addGivingUp(agent);
addModels(agent);
addPeople(agent);
addTimers(agent);
addSources(agent);
addFailures(agent);

export default agent;
