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
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from countersign.agent import Agent
from countersign.asks import Ask, ask_json
from countersign.execution import run_function
from countersign.fake_host import After, Answers, FakeHost
from countersign.review import Review, Vote
from countersign.shapes import Anything, dumps

__all__ = ["FakeHost", "Run", "after", "approved", "ask_json", "decided", "expired", "never", "rejected", "run"]


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
    all. Whatever a host would find out by itself needs no answer: that a pause is out of its bounds, what a wait for
    one brings that is open or decided, and what link a reviewer gets
    (`https://countersign.invalid/r/{approval_request_id}/{reviewer}`).

    Of a pause that asks several, one review stands for everybody's, unless it has votes of its own.

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


def decided(
    decision: str,
    *,
    feedback: str | None = None,
    response: Any = None,
    reviewer: str | None = None,
    votes: Sequence[Review] = (),
) -> Review:
    """A reviewer's decision, `decided_at` set by the host.

    Of several reviewers, `votes` are what each of them decided, oldest first; they must lead to this decision, and the
    last one's feedback, response and name are the review's.
    """
    ballots = [Vote(vote.reviewer or "", False, 0, vote.decision, vote.feedback, vote.response) for vote in votes]
    return Review(decision, feedback, response, reviewer, votes=tuple(ballots))


def approved(
    *,
    feedback: str | None = None,
    response: Any = None,
    reviewer: str | None = None,
    votes: Sequence[Review] = (),
) -> Review:
    return decided("approved", feedback=feedback, response=response, reviewer=reviewer, votes=votes)


def rejected(
    *,
    feedback: str | None = None,
    response: Any = None,
    reviewer: str | None = None,
    votes: Sequence[Review] = (),
) -> Review:
    return decided("rejected", feedback=feedback, response=response, reviewer=reviewer, votes=votes)


def expired() -> Review:
    """Nobody decided in time. The decision is the pause's default one, if it has one."""
    return decided("expired")


def after(duration: float | timedelta, answer: Any) -> After:
    """An answer that comes so many seconds after the ask."""
    return After(duration.total_seconds() if isinstance(duration, timedelta) else duration, answer)


def never() -> After:
    """No answer. A pause or a wait that has an end expires there."""
    return After(math.inf, None)
