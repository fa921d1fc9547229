"""Functions that wait for people, and for other agents."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any, TypedDict

from bed import app
from report import call_report, pause_report


@app.function()
async def pause_once(
    id: str = "only",
    expires_in_ms: int | None = None,
    choices: list[str] | None = None,
    response_schema: dict[str, Any] | None = None,
    title: str | None = None,
    payload: Any = None,
) -> dict[str, Any]:
    """Pauses once and returns the review."""
    expires = None if expires_in_ms is None else expires_in_ms / 1000
    return await pause_report(
        app.pause(id, expires_in=expires, choices=choices or [], response_schema=response_schema, title=title,
                  payload=payload)
    )  # fmt: skip


@app.function()
async def pauses(n: int = 3) -> list[str]:
    """Pauses under `p0`, `p1` and so on, one after the other, and returns the decisions."""
    return [(await app.pause(f"p{i}")).decision for i in range(n)]


class Verdict(TypedDict):
    """How a reviewer finds a draft."""

    stars: Annotated[int, "1 to 5"]
    remarks: list[str]


@app.function()
async def form() -> dict[str, Any]:
    """Pauses for a form, which every decision must fill in."""
    review = await app.pause("form", title="How is it?", payload={"draft": "…"}, response_schema=Verdict,
                             choices=["good", "bad", "approved"])  # fmt: skip
    response: Verdict | None = review.response
    return {"decision": review.decision, "stars": response["stars"] if response else None}


@app.function()
async def duplicate() -> dict[str, Any]:
    """Pauses twice under one id, and comes back to the first."""
    first = await app.pause("twice")
    second = await pause_report(app.pause("twice"))
    again = await app.wait_for_resume("twice", timeout=60)
    return {"first": first.decision, "second": second.get("error", second), "again": again.decision}


@app.function()
async def wait(id: str = "only", timeout_ms: int | None = None) -> dict[str, Any]:
    """Reconnects to an approval and returns the review."""
    return await pause_report(app.wait_for_resume(id, timeout=None if timeout_ms is None else timeout_ms / 1000))


@app.function()
async def pauses_and_wait(expires_in_ms: int = 60_000) -> list[str]:
    """Pauses under `a` and `b`, and waits for `b` by its name besides."""
    expires = timedelta(milliseconds=expires_in_ms)
    reviews = await asyncio.gather(
        app.pause("a", expires_in=expires), app.pause("b", expires_in=expires), app.wait_for_resume("b")
    )
    return [review.decision for review in reviews]


@app.function()
async def call(target: str = "publisher.publish", input: Any = None) -> dict[str, Any]:
    """Calls a function of another agent."""
    return await call_report(app.call(target, input if input is not None else {"content": "x"}))


@app.function()
async def fan_out(target: str = "publisher.publish", inputs: list[Any] | None = None) -> list[Any]:
    """Calls a function once for each input, all at once."""
    each = inputs or [{"n": 1}, {"n": 2}]
    results: list[Any] = await asyncio.gather(*(call_report(app.call(target, input)) for input in each))
    return results


@app.function()
async def race_call(target: str = "publisher.publish", input: Any = None, timeout_ms: int = 50) -> dict[str, Any]:
    """Races a call against a timer."""
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return {"winner": "call", "result": await call_report(app.call(target, input or {}))}
    except TimeoutError:
        return {"winner": "sleep", "result": None}
