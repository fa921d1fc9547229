"""An agent and its functions."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from countersign.approval import Escalation, Stage, escalations_from, rule_from, stages_from
from countersign.arguments import Seconds, flag, millis, number, optional, optional_millis, string, strings
from countersign.asks import (
    Ai,
    Answer,
    Ask,
    Call,
    Completion,
    Decision,
    Message,
    Pause,
    ReviewLink,
    Sleep,
    WaitForResume,
)
from countersign.compounds import Record
from countersign.errors import AiInvalidOutput, CallUnavailable, PauseInvalidRequest, loads, sound
from countersign.hints import form_from, parameters_of, result_of, schema_from
from countersign.loop import Loop
from countersign.review import Review, review_from
from countersign.shapes import MISSING, Anything, Misfit, Shape, dumps

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""What an agent and a function may be called."""

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Function:
    """One thing that an agent can do."""

    name: str
    description: str | None
    input: Record
    output: Shape
    body: Callable[..., Any]


class Agent:
    """An agent: its functions, and what they may ask of the host.

    `node_id` is the agent's own name for itself; it may be deployed under another. `version` is for people.
    """

    def __init__(self, node_id: str, version: str = "0.0.0") -> None:
        if not NAME.fullmatch(node_id):
            raise ValueError(f"node_id {node_id!r}: {_name_rule()}")
        self.node_id = node_id
        self.version = version
        self.functions: dict[str, Function] = {}

    # What it can do.

    @overload
    def function(self, body: F, /) -> F: ...

    @overload
    def function(self, *, name: str | None = None, description: str | None = None) -> Callable[[F], F]: ...

    def function(self, body: Any = None, *, name: str | None = None, description: str | None = None) -> Any:
        """Makes a function one that the agent can be asked to run.

        Its name and docstring are its name and description, unless others are given. Its parameters and their type
        hints say what its input may be, the hint of its result what it returns.
        """

        def add(body: F) -> F:
            self._add(body, name or body.__name__, description or inspect.getdoc(body))
            return body

        return add if body is None else add(body)

    reasoner = function
    """The same: a function that thinks. The host makes no difference."""

    def _add(self, body: Callable[..., Any], name: str, description: str | None) -> None:
        if not NAME.fullmatch(name):
            raise ValueError(f"function {name!r}: {_name_rule()}; give it one with `name=`")
        if name in self.functions:
            raise ValueError(f"this agent has two functions called `{name}`")
        parameters, result = parameters_of(body, name), result_of(body, name)
        self.functions[name] = Function(name, description, parameters, result, body)

    def run(self) -> None:
        """Stands at the end of a program, where other frameworks start a server. Here there is none to start."""
        if sys._getframe(1).f_globals.get("__name__") == "__main__" and sys.platform != "wasi":
            raise SystemExit(
                f"`{self.node_id}` runs on a Countersign host, not by itself. In its folder:\n"
                "  countersign build       makes a component of it: dist/*.wasm\n"
                "  countersign deploy .    builds it and uploads it to a host\n"
                "  countersign run ...     runs one of its functions there\n"
                "To try a function without a host, see countersign.testing."
            )

    # What its functions may ask.

    async def ai(
        self,
        user: str | None = None,
        *,
        system: str | None = None,
        messages: Iterable[Mapping[str, str]] = (),
        schema: Any = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Any:
        """Asks a model, and returns the text of its answer.

        The prompt is `system`, then `messages` (`{"role", "content"}`), then `user`. With a `schema` (a dataclass, a
        pydantic model, another type, or a JSON Schema as a dict) the answer is an object of it.
        """
        ask, shape = _prompt(user, system, messages, schema, model, temperature, max_tokens)
        completion = await _ask(ask, Completion)
        if shape is None:
            return completion.text
        try:
            return shape.read(json.loads(completion.text))
        except (Misfit, ValueError, RecursionError) as error:
            raise AiInvalidOutput(str(error)) from error

    async def pause(
        self,
        approval_request_id: str,
        *,
        approval_request_url: str | None = None,
        expires_in_hours: float | None = None,
        expires_in: Seconds | None = None,
        default_decision: str | None = None,
        title: str | None = None,
        payload: Any = MISSING,
        editable: bool = False,
        response_schema: Any = None,
        choices: Sequence[str] = (),
        feedback_required: Sequence[str] = (),
        reviewers: Sequence[str] | None = None,
        required: int | None = None,
        stages: Sequence[Stage] = (),
        rejection: str = "first",
        forbid_self_approval: bool = False,
        reminders: Iterable[Seconds] = (),
        escalations: Sequence[Escalation] = (),
        notify: Sequence[str] = (),
    ) -> Review:
        """Waits for a human decision, for as long as it takes.

        The second pause under an id has the id `id#2`, the third `id#3`; `wait_for_resume` comes back to it. After
        `expires_in_hours`, or `expires_in` (seconds or a timedelta), at most 366 days, the decision is `expired`, or
        the `default_decision`. `payload` is what the reviewer is to judge, and may change if it is `editable`;
        `response_schema` a form to fill in: a type, or a JSON Schema as a dict. An editable payload of a type of its
        own keeps that, if there is no form.

        `required` of the `reviewers` decide (one, if nothing is said), or those of each of the `stages` in turn;
        otherwise whoever may. `reminders` and `escalations` count from when the pause is opened; `notify` names
        endpoints that are told of it. The README says what each of them means.
        """
        text = _payload(payload)
        schema, form = form_from(response_schema, payload if editable else None)
        ask = Pause(
            string(approval_request_id, "approval_request_id"), optional(approval_request_url, "approval_request_url"),
            _expiry(expires_in_hours, expires_in), optional(default_decision, "default_decision"),
            optional(title, "title"), text, flag(editable, "editable"), None if schema is None else dumps(schema),
            strings(choices, "choices"), strings(feedback_required, "feedback_required"),
            stages_from(reviewers, required, stages), rule_from(rejection),
            flag(forbid_self_approval, "forbid_self_approval"), tuple(millis(wait) for wait in reminders),
            escalations_from(escalations), strings(notify, "notify"),
        )  # fmt: skip
        return review_from(await _ask(ask, Decision), form)

    async def wait_for_resume(
        self, approval_request_id: str, *, timeout: Seconds | None = None, response_schema: Any = None
    ) -> Review:
        """Comes back to an approval of this execution by its id: answers at once if it is decided, else waits.

        The id of the second pause under a name ends in `#2`. An approval that does not exist yet is opened, with the
        default choices. After `timeout` (seconds or a timedelta, at most 366 days) the decision is `expired`, and the
        approval stays open.
        """
        _, form = form_from(response_schema, None)
        ask = WaitForResume(string(approval_request_id, "approval_request_id"), optional_millis(timeout))
        return review_from(await _ask(ask, Decision), form)

    async def review_link(self, approval_request_id: str, reviewer: str) -> str:
        """Makes a link by which one reviewer can look at one pause of this execution and decide it, without a key.

        The pause need not be open yet. The link is good for 31 days, and no longer than the pause. Who has it can
        decide: give it to nobody else.
        """
        ask = ReviewLink(string(approval_request_id, "approval_request_id"), string(reviewer, "reviewer"))
        return await _ask(ask, str)

    async def call(self, target: str, input: Any = MISSING, /, **parameters: Any) -> Any:
        """Runs another agent's function, `agent.function`, as an execution of its own, and returns its result.

        Its input is an object of the named `parameters`; or `input`, if it takes something else.
        """
        if input is not MISSING and parameters:
            raise TypeError("give a call either one input or named parameters, not both")
        try:
            text = dumps(Anything().write(parameters if input is MISSING else input))
        except Misfit as misfit:
            raise TypeError(f"the input of the call to {target}: {misfit}") from misfit
        result = await _ask(Call(string(target, "target"), text), str)
        try:
            return loads(result)
        except (ValueError, RecursionError) as error:
            raise CallUnavailable(f"the result of {target} cannot be read: {error}") from error

    async def sleep(self, duration: Seconds) -> None:
        """Waits: seconds, or a timedelta; at most 366 days.

        The same as `asyncio.sleep`, but that `asyncio.sleep(0)` asks nothing of the host, and this does.
        """
        await _ask(Sleep(millis(duration)), type(None))

    def note(self, message: object, /, **details: Any) -> None:
        """Writes a line to the execution's log."""
        parts = [f"{name}={_shown(value)}" for name, value in details.items()]
        print(sound(" ".join([str(message), *parts])), flush=True)

    @property
    def execution_id(self) -> str:
        """The id of this execution. The same on every replay.

        `{execution_id}:{approval_request_id}` is the id of a pause for those who decide it, known before it is opened;
        that of the second pause under a name ends in `#2`.
        """
        return _loop().host.execution_id()


def _prompt(
    user: str | None,
    system: str | None,
    messages: Iterable[Mapping[str, str]],
    schema: Any,
    model: str | None,
    temperature: float | None,
    max_tokens: int | None,
) -> tuple[Ai, Shape | None]:
    turns = [Message("system", string(system, "system"))] if system is not None else []
    for message in messages:
        if message.keys() != {"role", "content"} or message["role"] not in ROLES:
            raise ValueError(f"a message is {{'role': {' | '.join(ROLES)}, 'content': …}}, not {dict(message)!r}")
        turns.append(Message(message["role"], string(message["content"], "the content of a message")))
    if user is not None:
        turns.append(Message("user", string(user, "user")))
    if not turns:
        raise ValueError("a prompt has at least one message: give system, user or messages")
    shape, text = None, None
    if schema is not None:
        json_schema, shape = schema_from(schema, "schema")
        text = dumps(json_schema)
    # What the contract has no room for would end the component where it crosses to the host.
    number(temperature, "temperature", 2, (int, float))
    number(max_tokens, "max_tokens", 2**32 - 1, int)
    return Ai(tuple(turns), optional(model, "model"), text, temperature, max_tokens), shape


def _payload(payload: Any) -> str | None:
    try:
        return None if payload is MISSING or payload is None else dumps(Anything().write(payload))
    except (Misfit, ValueError) as error:
        raise PauseInvalidRequest(f"payload: {error}") from error


def _expiry(hours: float | None, wait: Seconds | None) -> int | None:
    if hours is not None and wait is not None:
        raise ValueError("give either expires_in_hours or expires_in, not both")
    # Not by way of a timedelta, which has a longest one.
    return optional_millis(wait if hours is None else hours * 3600)


async def _ask(ask: Ask, wanted: type[T]) -> T:
    answer: Answer = await _loop().ask(ask)
    assert isinstance(answer, wanted), "an answer fits its ask"
    return answer


def _loop() -> Loop:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    if isinstance(loop, Loop):
        return loop
    raise RuntimeError(
        "only a function of an agent can ask something, while a host or countersign.testing runs it; "
        "the code of a module runs when the component is built"
    )


def _shown(value: Any) -> str:
    try:
        return dumps(Anything().write(value))
    except (Misfit, ValueError, RecursionError):
        return repr(value)


def _name_rule() -> str:
    return "a name has 1 to 64 of the characters a-z 0-9 _ -, and starts with a letter"
