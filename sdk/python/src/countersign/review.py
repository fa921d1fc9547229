"""A human's decision, as an agent sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from countersign.asks import Decision
from countersign.shapes import Misfit, Shape

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one reviewer decided, of several who were asked."""

    reviewer: str

    claimed: bool
    """Whether the name is only what the sender of a signed webhook said."""

    stage: int
    """The stage at which it counted, from 0."""

    decision: str

    feedback: str | None = None

    response: Any = None
    """As that of a review."""

    voted_at: datetime = UNKNOWN_TIME


@dataclass(frozen=True, slots=True)
class Review:
    """What was decided."""

    decision: str
    """One of the choices; or `expired`, if nobody decided in time and the pause had no default decision."""

    feedback: str | None = None
    """What the reviewer had to say; of several, the last one."""

    response: Any = None
    """The filled-in form, or the payload as it was approved, if it could be edited: an object of the type given as
    `response_schema`, or JSON."""

    reviewer: str | None = None
    """Who decided, as far as it is known; of several, the last one. None if it was nobody: the time ran out."""

    decided_at: datetime = UNKNOWN_TIME

    votes: tuple[Vote, ...] = ()
    """What each reviewer decided, oldest first, if the pause said who decides; else empty."""

    @property
    def approved(self) -> bool:
        return self.decision == "approved"

    @property
    def rejected(self) -> bool:
        return self.decision == "rejected"

    @property
    def changes_requested(self) -> bool:
        return self.decision == "request_changes"

    @property
    def expired(self) -> bool:
        """Whether nobody decided in time."""
        return self.decision == "expired"


def review_from(decision: Decision, form: Shape) -> Review:
    """The review that a decision is. Its responses are read as a `form`."""
    votes = [
        Vote(vote.reviewer, vote.claimed, vote.stage, vote.decision, vote.feedback, _response(vote.response, form),
             _time(vote.voted_at_ms))
        for vote in decision.votes
    ]  # fmt: skip
    response = _response(decision.response, form)
    decided_at = _time(decision.decided_at_ms)
    return Review(decision.decision, decision.feedback, response, decision.reviewer, decided_at, tuple(votes))


def _response(text: str | None, form: Shape) -> Any:
    if text is None:
        return None
    try:
        return form.read(json.loads(text))
    except Misfit as misfit:
        # The host has checked it against the schema; the type may be stricter than its schema.
        raise ValueError(f"the response of the reviewer does not fit: {misfit}") from misfit


def _time(millis: int) -> datetime:
    # Without going through a float, which cannot hold every millisecond.
    seconds, rest = divmod(millis, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
