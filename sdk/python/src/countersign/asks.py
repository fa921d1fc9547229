"""What an agent asks of its host and what it is told, as plain values. `wit/types.wit` says what their fields mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias

from countersign.approval import Escalation, Stage
from countersign.errors import Error

WAIT_MS_MAX = 366 * 24 * 60 * 60 * 1000
"""Longest sleep, expiry and timeout; the host cuts longer ones to this."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation with a model; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Ai:
    """A prompt; `schema` is JSON text."""

    kind: ClassVar[str] = "ai"
    messages: tuple[Message, ...]
    model: str | None = None
    schema: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A request for a decision; `payload` and `response_schema` are JSON texts."""

    kind: ClassVar[str] = "pause"
    approval_request_id: str
    approval_request_url: str | None = None
    expires_in_ms: int | None = None
    default_decision: str | None = None
    title: str | None = None
    payload: str | None = None
    editable: bool = False
    response_schema: str | None = None
    choices: tuple[str, ...] = ()
    feedback_required: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    rejection: str = "first"
    forbid_self_approval: bool = False
    reminders_ms: tuple[int, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitForResume:
    kind: ClassVar[str] = "wait_for_resume"
    approval_request_id: str
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ReviewLink:
    kind: ClassVar[str] = "review_link"
    approval_request_id: str
    reviewer: str


@dataclass(frozen=True, slots=True)
class Call:
    """`input` is JSON text."""

    kind: ClassVar[str] = "call"
    target: str
    input: str


@dataclass(frozen=True, slots=True)
class Sleep:
    kind: ClassVar[str] = "sleep"
    duration_ms: int


Ask: TypeAlias = Ai | Pause | WaitForResume | ReviewLink | Call | Sleep


def ask_json(ask: Ask) -> dict[str, Any]:
    """The ask as it stands in an execution's journal: fields that are not set are left out."""
    parts = {part.name: (getattr(ask, part.name), part.default) for part in fields(ask)}
    set_parts = {name: _part_json(value) for name, (value, default) in parts.items() if value != default}
    return {"kind": ask.kind} | set_parts


def _part_json(value: Any) -> Any:
    match value:
        case tuple():
            return [_part_json(item) for item in value]
        case Message():
            return {"role": value.role, "content": value.content}
        case Stage():
            return {"reviewers": list(value.reviewers or ()), "required": value.required}
        case Escalation():
            lists = {"reviewers": list(value.reviewers), "notify": list(value.notify)}
            return {"after_ms": value.after_ms} | {name: items for name, items in lists.items() if items}
    return value


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one reviewer decided, of several; `response` is JSON text."""

    reviewer: str
    claimed: bool
    stage: int
    decision: str
    feedback: str | None
    response: str | None
    voted_at_ms: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided; `response` is JSON text."""

    decision: str
    feedback: str | None
    response: str | None
    reviewer: str | None
    decided_at_ms: int
    votes: tuple[Ballot, ...] = ()


Answer: TypeAlias = Completion | Decision | str | Error | None
"""A call's is JSON text, a link's the link, a sleep's is None; an `Error` is raised where it was asked."""


class Host(Protocol):
    """The host as `wit/host-blocking.wit` has it."""

    def execution_id(self) -> str: ...

    def monotonic(self) -> float:
        """Seconds since the start. Moves only when an answer is given."""

    def submit(self, ask: Ask) -> int: ...

    def wait_any(self, ops: Sequence[int]) -> tuple[int, Answer]: ...

    def abandon(self, op: int) -> None: ...
