"""Runs an agent's functions without a host: for unit tests.

    from countersign.testing import approved, run

    done = run(app, "publish", {"brief": "spring"}, answers=["A draft.", approved(feedback="Shorter."), "Short.", {}])
    assert done.result == {"status": "approved"}
    assert done.asks[1].approval_request_id == "draft-review"

The function runs in this CPython, on the same event loop as in a component. No time passes: a sleep, or a timer, is
answered when nothing else is left to answer, and the clock of the loop jumps to its end.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from countersign.agent import Agent
from countersign.asks import (
    WAIT_MS_MAX,
    Ai,
    Answer,
    Ask,
    Call,
    Completion,
    Decision,
    Pause,
    Sleep,
    WaitForResume,
    ask_json,
)
from countersign.errors import AiError, CallError, CallFailed, Error, PauseDuplicateId, PauseError, error_json
from countersign.execution import run_function
from countersign.review import Review
from countersign.shapes import Anything, dumps

__all__ = ["Run", "after", "approved", "ask_json", "decided", "expired", "never", "rejected", "run"]

EXECUTION_ID = "exec_00000000000000000000000000000000"


CHOICES = ("approved", "rejected", "request_changes")
"""What a reviewer may decide if the pause does not say."""


@dataclass(frozen=True)
class After:
    """An answer that takes its time. See `after` and `never`."""

    seconds: float
    answer: Any


Answers: TypeAlias = Iterable[Any] | Callable[[Ask], Any]


@dataclass
class Run:
    """How a function ran."""

    result: Any = None
    """What it returned, as JSON."""

    error: dict[str, str] | None = None
    """What it failed with, `{"code", "message"}`."""

    asks: list[Ask] = field(default_factory=list)
    """What it asked, in that order. `ask_json` makes of one what stands in a journal."""

    abandoned: list[Ask] = field(default_factory=list)
    """What it asked and gave up."""

    log: list[str] = field(default_factory=list)
    """The lines that it printed, to both streams."""


def run(app: Agent, function: str, input: Any = None, *, answers: Answers = ()) -> Run:
    """Runs a function to its end.

    `answers` are in the order in which the function asks, sleeps left out; or a function that gives the answer to an
    ask. An answer to a prompt is its text, or an object of the prompt's schema; to a call, its result as JSON; to a
    pause, a review (`approved()`, `rejected()`, `decided()`, `expired()`). An exception is what the ask fails with.
    All that are open are answered in the order of asking, but `after(seconds, answer)` comes later, `never()` not at
    all. Whatever a host would find out by itself needs no answer: a pause under the same id as an earlier one, and a
    wait for one that is open or decided.

    Raises `AssertionError` if the function asks more than there are answers, or less.
    """
    host = FakeHost(answers)
    printed = io.StringIO()
    text = dumps(Anything().write({} if input is None else input))
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        succeeded, outcome = run_function(app, function, text, host)
    if host.complaint is not None:
        raise AssertionError(host.complaint)
    unused = host.unused()
    if unused > 0:
        raise AssertionError(f"{unused} answers are left: `{function}` asked only {host.asked()}")
    value = json.loads(outcome)
    done = Run(asks=host.asks, abandoned=host.abandoned, log=printed.getvalue().splitlines())
    if succeeded:
        done.result = value
    else:
        done.error = value
    return done


# Answers.


def decided(decision: str, *, feedback: str | None = None, response: Any = None, reviewer: str | None = None) -> Review:
    """A reviewer's decision, `decided_at` set by the host."""
    return Review(decision, feedback, response, reviewer)


def approved(*, feedback: str | None = None, response: Any = None, reviewer: str | None = None) -> Review:
    return decided("approved", feedback=feedback, response=response, reviewer=reviewer)


def rejected(*, feedback: str | None = None, response: Any = None, reviewer: str | None = None) -> Review:
    return decided("rejected", feedback=feedback, response=response, reviewer=reviewer)


def expired() -> Review:
    """Nobody decided in time."""
    return decided("expired")


def after(duration: float | timedelta, answer: Any) -> After:
    """An answer that comes so many seconds after the ask."""
    return After(duration.total_seconds() if isinstance(duration, timedelta) else duration, answer)


def never() -> After:
    """No answer. A pause or a wait that has an end expires there."""
    return After(math.inf, None)


# The host.


class Complaint(BaseException):
    """A test is wrong. No code of an agent's may catch it."""


@dataclass
class Open:
    ask: Ask
    due: float
    answer: Answer


class FakeHost:
    """A host that has its answers from a test."""

    def __init__(self, answers: Answers) -> None:
        self.asks: list[Ask] = []
        self.abandoned: list[Ask] = []
        self.complaint: str | None = None
        self._answers = answers if callable(answers) else iter(list(answers))
        self._open: dict[int, Open] = {}
        self._now = 0.0
        self._started = time.time()
        self._paused: set[str] = set()
        self._decided: dict[str, Decision] = {}

    def execution_id(self) -> str:
        return EXECUTION_ID

    def monotonic(self) -> float:
        return self._now

    def submit(self, ask: Ask) -> int:
        self.asks.append(ask)
        delay, answer = self._plan(ask)
        op = len(self.asks) - 1
        self._open[op] = Open(ask, self._now + delay, answer)
        return op

    def wait_any(self, ops: Sequence[int]) -> tuple[int, Answer]:
        op = min(ops, key=lambda op: (self._open[op].due, op))
        if self._open[op].due == math.inf:
            waiting = ", ".join(_words(self._open[op].ask) for op in ops)
            raise self._complain(f"the function waits for ever: there is never an answer to {waiting}")
        answered = self._open.pop(op)
        self._now = max(self._now, answered.due)
        answer = answered.answer
        if isinstance(answer, Decision):
            millis = round((self._started + self._now) * 1000)
            answer = Decision(answer.decision, answer.feedback, answer.response, answer.reviewer, millis)
            if isinstance(answered.ask, Pause) or answer.decision != "expired":
                self._decide(_id(answered.ask), answer)
        elif isinstance(answer, PauseError) and not isinstance(answer, PauseDuplicateId):
            # A pause that was refused has not used up its id.
            self._paused.discard(_id(answered.ask))
        return op, answer

    def _decide(self, name: str, decision: Decision) -> None:
        """Whoever else waits for the same decision gets it."""
        self._decided[name] = decision
        for other in self._open.values():
            waits = isinstance(other.ask, Pause | WaitForResume) and _id(other.ask) == name
            if waits and not isinstance(other.answer, PauseError):
                other.due, other.answer = self._now, decision

    def abandon(self, op: int) -> None:
        self.abandoned.append(self._open.pop(op).ask)

    def unused(self) -> int:
        """How many answers nobody has asked for. Takes them."""
        return 0 if callable(self._answers) else len(list(self._answers))

    def asked(self) -> str:
        return ", ".join(_words(ask) for ask in self.asks if not isinstance(ask, Sleep)) or "nothing"

    def _plan(self, ask: Ask) -> tuple[float, Answer]:
        """After how many seconds an ask is answered, and how."""
        if isinstance(ask, Sleep):
            return min(ask.duration_ms, WAIT_MS_MAX) / 1000, None
        if isinstance(ask, Pause):
            if ask.approval_request_id in self._paused:
                return 0, PauseDuplicateId(ask.approval_request_id)
            self._paused.add(ask.approval_request_id)
        if isinstance(ask, Pause | WaitForResume) and (known := self._decided.get(ask.approval_request_id)) is not None:
            return 0, known
        given = never() if self._is_open(ask) else self._next(ask)
        delay, given = (given.seconds, given.answer) if isinstance(given, After) else (0.0, given)
        ends = _ends(ask)
        if ends is not None and delay > ends:
            return ends, Decision("expired", None, None, None, 0)
        return delay, None if delay == math.inf else self._answer(ask, given)

    def _is_open(self, ask: Ask) -> bool:
        """Whether this is a wait for a pause that is open: that one's answer is this one's, too."""
        opened = {open.ask.approval_request_id for open in self._open.values() if isinstance(open.ask, Pause)}
        return isinstance(ask, WaitForResume) and ask.approval_request_id in opened

    def _next(self, ask: Ask) -> Any:
        if callable(self._answers):
            return self._answers(ask)
        for answer in self._answers:
            return answer
        raise self._complain(f"there is no answer to ask {len(self.asks)}: {_words(ask)}")

    def _answer(self, ask: Ask, given: Any) -> Answer:
        if isinstance(given, BaseException):
            return self._failure(ask, given)
        if isinstance(ask, Ai):
            text = given if isinstance(given, str) else dumps(Anything().write(given))
            return Completion(text, ask.model or "testing", 0, 0)
        if isinstance(ask, Call):
            return dumps(Anything().write(given))
        if isinstance(given, str):
            given = decided(given)
        if not isinstance(given, Review):
            raise self._complain(f"the answer to {_words(ask)} is no review: {given!r}")
        if isinstance(ask, Pause) and given.decision != "expired":
            self._check(ask, given)
        response = None if given.response is None else dumps(Anything().write(given.response))
        return Decision(given.decision, given.feedback, response, given.reviewer, 0)

    def _check(self, ask: Pause, given: Review) -> None:
        """A host takes no decision that is none of the choices, or leaves a form out."""
        choices = ask.choices or CHOICES
        if given.decision not in choices:
            raise self._complain(f"no reviewer can decide {given.decision!r}: the choices are {', '.join(choices)}")
        if ask.response_schema is not None and given.response is None:
            raise self._complain(f"{_words(ask)} has a form: every decision needs a response")

    def _failure(self, ask: Ask, error: BaseException) -> Error:
        wanted = {Ai: AiError, Call: CallError}.get(type(ask), PauseError)
        if isinstance(error, wanted):
            return error
        # What a called function raises.
        if isinstance(ask, Call) and not isinstance(error, AiError | PauseError):
            return CallFailed(error_json(error))
        raise self._complain(f"{_words(ask)} cannot fail with {error!r}, but with a {wanted.__name__}")

    def _complain(self, why: str) -> Complaint:
        self.complaint = self.complaint or why
        return Complaint(why)


def _ends(ask: Ask) -> float | None:
    """After how many seconds an ask is answered by itself."""
    millis = ask.expires_in_ms if isinstance(ask, Pause) else ask.timeout_ms if isinstance(ask, WaitForResume) else None
    return None if millis is None else min(millis, WAIT_MS_MAX) / 1000


def _id(ask: Ask) -> str:
    assert isinstance(ask, Pause | WaitForResume)
    return ask.approval_request_id


def _words(ask: Ask) -> str:
    match ask:
        case Ai():
            return f"the prompt {ask.messages[-1].content[:60]!r}"
        case Pause():
            return f"the pause {ask.approval_request_id!r}"
        case WaitForResume():
            return f"the wait for {ask.approval_request_id!r}"
        case Call():
            return f"the call of {ask.target} with {ask.input[:60]}"
        case Sleep():
            return f"a sleep of {ask.duration_ms} ms"
