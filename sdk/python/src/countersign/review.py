"""A human's decision, as an agent sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from countersign.asks import Decision
from countersign.shapes import Misfit, Shape


@dataclass(frozen=True, slots=True)
class Review:
    """What a reviewer decided."""

    decision: str
    """One of the choices; or `expired`, if nobody decided in time."""

    feedback: str | None = None
    """What the reviewer had to say."""

    response: Any = None
    """The filled-in form: an object of the type given as `response_schema`, or JSON."""

    reviewer: str | None = None
    """Who decided, as far as it is known."""

    decided_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

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
    """The review that a decision is. Its response is read as a `form`."""
    response = None
    if decision.response is not None:
        try:
            response = form.read(json.loads(decision.response))
        except Misfit as misfit:
            # The host has checked it against the schema; the type may be stricter than its schema.
            raise ValueError(f"the response of the reviewer does not fit: {misfit}") from misfit
    # Without going through a float, which cannot hold every millisecond.
    seconds, millis = divmod(decision.decided_at_ms, 1000)
    decided_at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)
    return Review(decision.decision, decision.feedback, response, decision.reviewer, decided_at)
