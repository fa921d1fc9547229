"""The host of unit tests: it has its answers from a test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from countersign.asks import (
    WAIT_MS_MAX,
    Ai,
    Answer,
    Ask,
    Call,
    Completion,
    Decision,
    Pause,
    ReviewLink,
    Sleep,
    WaitForResume,
)
from countersign.errors import AiError, CallError, CallFailed, Error, PauseError, PauseInvalidRequest, error_json
from countersign.fake_pause import refusal
from countersign.fake_review import Untakeable, decide, time_out, timed
from countersign.review import Review
from countersign.shapes import Anything, dumps

EXECUTION_ID = "exec_00000000000000000000000000000000"


@dataclass(frozen=True)
class After:
    """An answer that takes its time. See `testing.after` and `testing.never`."""

    seconds: float
    answer: Any


Answers: TypeAlias = Iterable[Any] | Callable[[Ask], Any]


class Complaint(BaseException):
    """A test is wrong. No code of an agent's may catch it."""


@dataclass
class Open:
    ask: Ask
    due: float
    answer: Answer
    id: str | None
    """Of a pause, or of what a wait waits for."""


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
        # How many pauses were asked for under each name, and by which ask the last of them; None if that was refused.
        self._paused: dict[str, tuple[int, int | None]] = {}
        self._decided: dict[str, Decision] = {}

    def execution_id(self) -> str:
        return EXECUTION_ID

    def monotonic(self) -> float:
        return self._now

    def submit(self, ask: Ask) -> int:
        op = len(self.asks)
        self.asks.append(ask)
        id = self._number(op, ask) if isinstance(ask, Pause) else _id(ask)
        delay, answer = self._plan(ask, id)
        self._open[op] = Open(ask, self._now + delay, answer, id)
        return op

    def _number(self, op: int, ask: Pause) -> str:
        """The id of a new pause: that of the second one under a name is `name#2`."""
        name = ask.approval_request_id
        count = self._paused.get(name, (0, None))[0] + 1
        self._paused[name] = (count, op)
        return name if count == 1 else f"{name}#{count}"

    def wait_any(self, ops: Sequence[int]) -> tuple[int, Answer]:
        op = min(ops, key=lambda op: (self._open[op].due, op))
        if self._open[op].due == math.inf:
            waiting = ", ".join(_words(self._open[op].ask) for op in ops)
            raise self._complain(f"the function waits for ever: there is never an answer to {waiting}")
        answered = self._open.pop(op)
        self._now = max(self._now, answered.due)
        answer = answered.answer
        if isinstance(answer, Decision):
            answer = timed(answer, round((self._started + self._now) * 1000))
            if isinstance(answered.ask, Pause) or answer.decision != "expired":
                self._decide(answered.id, answer)
        elif isinstance(answer, PauseError) and isinstance(answered.ask, Pause):
            self._refuse(op, answered.ask.approval_request_id)
        return op, answer

    def _refuse(self, op: int, name: str) -> None:
        """A pause that was refused has not used its number up, unless the next one has followed."""
        count, last = self._paused[name]
        if last == op:
            self._paused[name] = (count - 1, None)

    def _decide(self, id: str | None, decision: Decision) -> None:
        """Whoever else waits for the same decision gets it."""
        assert id is not None
        self._decided[id] = decision
        for other in self._open.values():
            if other.id == id and not isinstance(other.answer, PauseError):
                other.due, other.answer = self._now, decision

    def abandon(self, op: int) -> None:
        self.abandoned.append(self._open.pop(op).ask)

    def unused(self) -> int:
        """How many answers nobody has asked for. Takes them."""
        return 0 if callable(self._answers) else len(list(self._answers))

    def asked(self) -> str:
        return ", ".join(_words(ask) for ask in self.asks if not isinstance(ask, Sleep)) or "nothing"

    def _plan(self, ask: Ask, id: str | None) -> tuple[float, Answer]:
        """After how many seconds an ask is answered, and how."""
        if isinstance(ask, Sleep):
            return min(ask.duration_ms, WAIT_MS_MAX) / 1000, None
        if (why := refusal(ask)) is not None:
            return 0, PauseInvalidRequest(why)
        if isinstance(ask, ReviewLink):
            return 0, f"https://countersign.invalid/r/{ask.approval_request_id}/{ask.reviewer}"
        if id is not None and (known := self._decided.get(id)) is not None:
            return 0, known
        given = After(math.inf, None) if self._is_open(ask) else self._next(ask)
        delay, given = (given.seconds, given.answer) if isinstance(given, After) else (0.0, given)
        ends = _ends(ask)
        if ends is not None and delay > ends:
            return ends, time_out(ask if isinstance(ask, Pause) else None)
        return delay, None if delay == math.inf else self._answer(ask, given)

    def _is_open(self, ask: Ask) -> bool:
        """Whether this is a wait for a pause that is open: that one's answer is this one's, too."""
        opened = {open.id for open in self._open.values() if isinstance(open.ask, Pause)}
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
            given = Review(given)
        if not isinstance(given, Review):
            raise self._complain(f"the answer to {_words(ask)} is no review: {given!r}")
        pause = ask if isinstance(ask, Pause) else None
        if given.decision == "expired":
            return time_out(pause)
        try:
            # What a wait opens has the default choices, and nothing else.
            return decide(pause or Pause("opened"), given)
        except Untakeable as why:
            raise self._complain(f"{_words(ask)}: {why}") from None

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


def _id(ask: Ask) -> str | None:
    return ask.approval_request_id if isinstance(ask, WaitForResume) else None


def _words(ask: Ask) -> str:
    match ask:
        case Ai():
            return f"the prompt {ask.messages[-1].content[:60]!r}"
        case Pause():
            return f"the pause {ask.approval_request_id!r}"
        case WaitForResume():
            return f"the wait for {ask.approval_request_id!r}"
        case ReviewLink():
            return f"the link to {ask.approval_request_id!r}"
        case Call():
            return f"the call of {ask.target} with {ask.input[:60]}"
        case Sleep():
            return f"a sleep of {ask.duration_ms} ms"
