"""What a component of an agent exports, and the host that it imports. Exists only inside a component.

`countersign.build` writes an entry module that calls `load` and shows `WitWorld` to componentize-py. What that module
leaves in memory when the component is built is what every execution starts from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import wit_world
from componentize_py_types import Err, Ok
from wit_world.imports import host_blocking as wit
from wit_world.imports import types

from countersign import errors, loop, sandbox
from countersign.agent import Agent
from countersign.asks import (
    Ai,
    Answer,
    Ask,
    Ballot,
    Call,
    Completion,
    Decision,
    Pause,
    ReviewLink,
    Sleep,
    WaitForResume,
)
from countersign.execution import run_function
from countersign.shapes import Json, Shape, dumps, schema_of

agent: Agent | None = None


def load(module: str, mounts: dict[str, str], author: list[str]) -> None:
    """Loads the author's module when the component is built, or raises `sandbox.BuildFailed`."""
    global agent
    loop.MOUNTS.update(mounts)
    agent = sandbox.load(module, author)


class WitWorld(wit_world.WitWorld):  # type: ignore[misc]
    def describe(self) -> types.Manifest:
        assert agent is not None
        functions = [
            types.Function(
                function.name, function.description, _schema_text(function.input), _schema_text(function.output)
            )
            for function in agent.functions.values()
        ]
        return types.Manifest(agent.node_id, agent.version, functions)

    def run(self, function: str, input: str) -> str:
        assert agent is not None
        succeeded, text = run_function(agent, function, input, ComponentHost())
        if not succeeded:
            raise Err(text)
        return text


def _schema_text(shape: Shape) -> str | None:
    schema: Json = schema_of(shape)
    return dumps(schema) if schema else None


class ComponentHost:
    """The host around a component."""

    def execution_id(self) -> str:
        return str(wit.execution_id())

    def monotonic(self) -> float:
        return time.monotonic()

    def submit(self, ask: Ask) -> int:
        return int(wit.submit(_ask(ask)))

    def wait_any(self, ops: Sequence[int]) -> tuple[int, Answer]:
        op, answer = wit.wait_any(list(ops))
        return op, _answer(answer)

    def abandon(self, op: int) -> None:
        wit.abandon(op)


def _ask(ask: Ask) -> wit.Ask:
    match ask:
        case Ai():
            roles = {"system": types.Role.SYSTEM, "user": types.Role.USER, "assistant": types.Role.ASSISTANT}
            messages = [types.Message(roles[message.role], message.content) for message in ask.messages]
            return wit.Ask_Ai(types.Prompt(messages, ask.model, ask.schema, ask.temperature, ask.max_tokens))
        case Pause():
            return wit.Ask_Pause(_request(ask))
        case WaitForResume():
            return wit.Ask_WaitForResume(wit.Reconnection(ask.approval_request_id, ask.timeout_ms))
        case ReviewLink():
            return wit.Ask_ReviewLink(wit.LinkRequest(ask.approval_request_id, ask.reviewer))
        case Call():
            return wit.Ask_Call(wit.Invocation(ask.target, ask.input))
        case Sleep():
            return wit.Ask_Sleep(ask.duration_ms)


def _request(ask: Pause) -> types.ApprovalRequest:
    stages = [types.ApprovalStage(list(stage.reviewers or ()), stage.required) for stage in ask.stages]
    rules = {"first": types.RejectionRule.FIRST, "majority": types.RejectionRule.MAJORITY}
    escalations = [
        types.Escalation(escalation.after_ms, list(escalation.reviewers), list(escalation.notify))
        for escalation in ask.escalations
    ]
    return types.ApprovalRequest(
        ask.approval_request_id, ask.approval_request_url, ask.expires_in_ms, ask.default_decision, ask.title,
        ask.payload, ask.editable, ask.response_schema, list(ask.choices), list(ask.feedback_required), stages,
        rules[ask.rejection], ask.forbid_self_approval, list(ask.reminders_ms), escalations, list(ask.notify),
    )  # fmt: skip


def _answer(answer: wit.Answer) -> Answer:
    if isinstance(answer, wit.Answer_Sleep):
        return None
    result = answer.value
    if not isinstance(result, Ok):
        return _error(result.value)
    value = result.value
    if isinstance(value, types.Completion):
        return Completion(value.text, value.model, value.usage.input_tokens, value.usage.output_tokens)
    if isinstance(value, types.Review):
        votes = [
            Ballot(vote.reviewer, vote.claimed, vote.stage, vote.decision, vote.feedback, vote.response,
                   vote.voted_at_ms)
            for vote in value.votes
        ]  # fmt: skip
        return Decision(
            value.decision, value.feedback, value.response, value.reviewer, value.decided_at_ms, tuple(votes)
        )
    return str(value)


def _error(error: types.AiError | types.PauseError | types.CallError) -> errors.Error:
    match error:
        case types.AiError_Refused():
            return errors.AiRefused(error.value)
        case types.AiError_RateLimited():
            return errors.AiRateLimited("the model's provider limits the rate")
        case types.AiError_BudgetExhausted():
            return errors.AiBudgetExhausted("no budget is left for models")
        case types.AiError_InvalidOutput():
            return errors.AiInvalidOutput(error.value)
        case types.AiError_Unavailable():
            return errors.AiUnavailable(error.value)
        case types.PauseError_InvalidRequest():
            return errors.PauseInvalidRequest(error.value)
        case types.CallError_NotFound():
            return errors.CallNotFound(f"no such function: {error.value}")
        case types.CallError_Denied():
            return errors.CallDenied(f"the call is not allowed: {error.value}")
        case types.CallError_Failed():
            return errors.call_failed(error.value)
        case types.CallError_Cancelled():
            return errors.CallCancelled("the called execution was cancelled")
        case _:
            return errors.CallUnavailable(f"the call could not be carried out: {error.value}")
