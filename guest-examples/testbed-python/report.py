"""What went well, and what did not, as JSON."""

from collections.abc import Awaitable
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


async def call_report(call: Awaitable[Any]) -> dict[str, Any]:
    """`{"ok": …}`, or `{"error": {"code", "message"}, "failed": …}` with the error of the called function."""
    try:
        return {"ok": await call}
    except CallError as error:
        failed = error.error if isinstance(error, CallFailed) else None
        return {"error": {"code": error.code, "message": error.message}, "failed": failed}
