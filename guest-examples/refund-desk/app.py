"""Handles a customer's message: the model picks one tool after another until it is done.

What cannot be undone goes through a person first, who may change it. What comes of a tool, a person's no included, is
told to the model, which goes on from there.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from countersign import Agent, AiInvalidOutput, CallError, Error

app = Agent(node_id="refund-desk", version="1.0.0")

# A model that goes round in circles costs money with each round.
STEPS_MAX = 12


@dataclass
class Tool:
    """A function of another agent."""

    target: str
    use: str
    is_irreversible: bool = False


TOOLS = {
    "find_order": Tool("orders.find", 'looks an order up. Input: {"order": its number}'),
    "refund": Tool("payments.refund", 'pays money back. Input: {"order": its number, "cents": how much}', True),
    "send_message": Tool("mailer.send", 'writes to a customer. Input: {"to", "subject", "body"}', True),
}

SYSTEM = "You handle the messages of a shop's customers. Take one step at a time. Your tools:\n" + "\n".join(
    f"- {name} {tool.use}" for name, tool in TOOLS.items()
)


@dataclass
class Step:
    """What the model does next."""

    reason: str
    tool: Literal["find_order", "refund", "send_message", "done"]
    input: dict[str, Any]


@dataclass
class Outcome:
    """What was done, in order, and the model's last word."""

    done: list[str]
    summary: str


@app.function()
async def handle(message: str) -> Outcome:
    """Handles one message; asks a person before money is paid or a message is sent."""
    talk = [{"role": "user", "content": message}]
    done: list[str] = []
    for number in range(1, STEPS_MAX + 1):
        try:
            step = await app.ai(system=SYSTEM, messages=talk, schema=Step)
        except AiInvalidOutput as error:
            talk.append({"role": "user", "content": f"That was no step: {error}"})
            continue
        if step.tool == "done":
            return Outcome(done, step.reason)
        came_of_it = await take(step, number, done)
        talk.append({"role": "assistant", "content": json.dumps({"tool": step.tool, "input": step.input})})
        talk.append({"role": "user", "content": came_of_it})
    raise Error("too_many_steps", f"not done after {STEPS_MAX} steps")


async def take(step: Step, number: int, done: list[str]) -> str:
    """Takes one step, if a person agrees where one must; returns what the model is told of it."""
    tool = TOOLS[step.tool]
    parameters = step.input
    if tool.is_irreversible:
        review = await app.pause(
            f"step-{number}-{step.tool}",
            title=f"{step.tool}: {step.reason}"[:120],
            payload=step.input,
            # Edited, then approved: the person's word counts, not the model's.
            editable=True,
            response_schema={"type": "object"},
            expires_in_hours=24,
        )
        if not review.approved:
            return f"A person decided: {review.decision}. {review.feedback or ''}".strip()
        parameters = review.response
    try:
        result = await app.call(tool.target, **parameters)
    except CallError as error:
        return f"It failed: {error}"
    done.append(f"{step.tool} {json.dumps(parameters)}")
    return f"It returned: {json.dumps(result)}"


app.run()
