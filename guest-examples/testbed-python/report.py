"""What went well, and what did not, as JSON."""

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

from countersign import CallError, CallFailed, PauseError, Review


async def pause_report(pause: Awaitable[Review]) -> dict[str, Any]:
    """The review, or `{"error": {"code", "message"}}`."""
    try:
        review = await pause
    except PauseError as error:
        return {"error": {"code": error.code, "message": error.message}}
    return {"decision": review.decision, "feedback": review.feedback, "response": review.response,
            "reviewer": review.reviewer, "decided_at": review.decided_at}  # fmt: skip


async def whole_review(pause: Awaitable[Review]) -> dict[str, Any]:
    """The review with all of its votes, as the other testbeds show it; or `{"error": {"code", "message"}}`."""
    try:
        review = await pause
    except PauseError as error:
        return {"error": {"code": error.code, "message": error.message}}
    votes = [
        {"reviewer": vote.reviewer, "claimed": vote.claimed, "stage": vote.stage, "decision": vote.decision,
         "feedback": vote.feedback, "response": vote.response, "voted_at_ms": millis(vote.voted_at)}
        for vote in review.votes
    ]  # fmt: skip
    return {"decision": review.decision, "feedback": review.feedback, "response": review.response,
            "reviewer": review.reviewer, "decided_at_ms": millis(review.decided_at), "votes": votes}  # fmt: skip


def millis(when: datetime) -> int:
    """Since 1970, without going through a float."""
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


async def call_report(call: Awaitable[Any]) -> dict[str, Any]:
    """`{"ok": …}`, or `{"error": {"code", "message"}, "failed": …}` with the error of the called function."""
    try:
        return {"ok": await call}
    except CallError as error:
        failed = error.error if isinstance(error, CallFailed) else None
        return {"error": {"code": error.code, "message": error.message}, "failed": failed}
