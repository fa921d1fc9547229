"""Functions that wait for people, and for other agents."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from countersign import Escalation, Stage

from bed import app
from report import call_report, pause_report, whole_review


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


@dataclass
class Amount:
    """What a board decides about."""

    euros: int


class StageRequest(TypedDict):
    """A stage; without reviewers it asks whoever may decide."""

    reviewers: NotRequired[list[str]]
    required: int


class EscalationRequest(TypedDict):
    """An escalation."""

    after_ms: int
    reviewers: NotRequired[list[str]]
    notify: NotRequired[list[str]]


@app.function()
async def approve(
    approval_request_id: str = "only",
    approval_request_url: str | None = None,
    expires_in_ms: int | None = None,
    default_decision: str | None = None,
    title: str | None = None,
    payload: Any = None,
    editable: bool = False,
    response_schema: dict[str, Any] | None = None,
    choices: list[str] | None = None,
    feedback_required: list[str] | None = None,
    stages: list[StageRequest] | None = None,
    rejection: Literal["first", "majority"] = "first",
    forbid_self_approval: bool = False,
    reminders_ms: list[int] | None = None,
    escalations: list[EscalationRequest] | None = None,
    notify: list[str] | None = None,
) -> dict[str, Any]:
    """Pauses with all that the contract has, and returns the whole review, with all votes."""
    return await whole_review(
        app.pause(
            approval_request_id,
            approval_request_url=approval_request_url,
            expires_in=None if expires_in_ms is None else timedelta(milliseconds=expires_in_ms),
            default_decision=default_decision,
            title=title,
            payload=payload,
            editable=editable,
            response_schema=response_schema,
            choices=choices or [],
            feedback_required=feedback_required or [],
            stages=[Stage(stage.get("reviewers") or None, stage["required"]) for stage in stages or []],
            rejection=rejection,
            forbid_self_approval=forbid_self_approval,
            reminders=[timedelta(milliseconds=ms) for ms in reminders_ms or []],
            escalations=[
                Escalation(timedelta(milliseconds=each["after_ms"]), each.get("reviewers", []), each.get("notify", []))
                for each in escalations or []
            ],
            notify=notify or [],
        )
    )


@app.function()
async def two_of_three() -> dict[str, Any]:
    """Asks three reviewers for two votes on something that they may edit, and reminds and escalates meanwhile."""
    return await whole_review(
        app.pause(
            "board", payload=Amount(5), editable=True, reviewers=["ana", "bo", "cy"], required=2,
            reminders=[60, timedelta(hours=1)], escalations=[Escalation(after=7200, reviewers=["@leads"])],
            rejection="majority", expires_in_hours=24, default_decision="rejected",
        )
    )  # fmt: skip


@app.function()
async def rounds(n: int = 3) -> list[str]:
    """Pauses so many times under the name `round`, one after the other, and comes back to the second of them."""
    decisions = [(await app.pause("round")).decision for _ in range(n)]
    if n > 1:
        assert (await app.wait_for_resume("round#2")).decision == decisions[1]
    return decisions


@app.function()
async def link_then_pause(reviewer: str = "ana", to: str = "only") -> dict[str, Any]:
    """Gets a link for a reviewer to a pause, and then pauses under `only`. Returns both."""
    link = await app.review_link(to, reviewer=reviewer)
    return {"link": link, "review": await whole_review(app.pause("only", reviewers=[reviewer]))}


@app.function()
async def impossible() -> dict[str, Any]:
    """Asks for what every host refuses, and then for something else under the same name."""
    refused = await pause_report(app.pause("gate", required=0))
    review = await app.pause("gate")
    return {"refused": refused["error"]["code"], "again": (await app.wait_for_resume("gate")) == review}


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
