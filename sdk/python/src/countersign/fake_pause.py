"""What a host refuses of a pause, for the host of unit tests. Lengths of texts and schemas are left to the host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from countersign.approval import Stage
from countersign.asks import WAIT_MS_MAX, Ask, Pause, ReviewLink, WaitForResume

CHOICES = ("approved", "rejected", "request_changes")
"""What a reviewer may decide if the pause does not say."""

NAME = re.compile(r"[A-Za-z0-9._~-]{1,128}")
GROUP = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

NUMBER_MAX = 200_000
"""Of `name#2`; an execution has no more asks than this."""

CHOICES_MAX = 32
CHOICE_BYTES_MAX = 64
STAGES_MAX = 8
REVIEWERS_MAX = 64
REVIEWER_BYTES_MAX = 256
REMINDERS_MAX = 16
ESCALATIONS_MAX = 8
NOTIFY_MAX = 8


def refusal(ask: Ask) -> str | None:
    """Why a host refuses a pause, a wait for one or a link to one; None if it does not."""
    if isinstance(ask, Pause):
        return next(_refusals(ask), None)
    if isinstance(ask, WaitForResume | ReviewLink) and not _is_id(ask.approval_request_id):
        return "approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -, and for the second pause of a name `#2`"
    if isinstance(ask, ReviewLink) and not _is_reviewer(ask.reviewer):
        return f"reviewer: 1 to {REVIEWER_BYTES_MAX} bytes, no `@` first, no control characters"
    return None


def _refusals(ask: Pause) -> Iterator[str]:
    if not NAME.fullmatch(ask.approval_request_id):
        yield "approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -"
    if ask.editable and ask.payload is None:
        yield "editable: there is no payload to be edited"
    if len(ask.choices) > CHOICES_MAX or not all(_is_choice(choice) for choice in ask.choices):
        yield f"choices: at most {CHOICES_MAX}, each 1 to {CHOICE_BYTES_MAX} bytes, not `expired`"
    choices = ask.choices or CHOICES
    if not set(ask.feedback_required) <= set(choices):
        yield "feedback-required: each must be one of the choices"
    if ask.default_decision is not None and ask.default_decision not in choices:
        yield "default-decision: must be one of the choices"
    if max((*ask.reminders_ms, *(escalation.after_ms for escalation in ask.escalations)), default=0) > WAIT_MS_MAX:
        yield f"reminders-ms, escalations: at most {WAIT_MS_MAX} ms after the pause was opened"
    yield from _stage_refusals(ask)
    yield from _endpoint_refusals("notify", ask.notify)
    if len(ask.reminders_ms) > REMINDERS_MAX:
        yield f"reminders-ms: at most {REMINDERS_MAX}"
    if len(ask.escalations) > ESCALATIONS_MAX:
        yield f"escalations: at most {ESCALATIONS_MAX}"
    for escalation in ask.escalations:
        yield from _reviewer_refusals("escalations", escalation.reviewers)
        yield from _endpoint_refusals("escalations: notify", escalation.notify)


def _stage_refusals(ask: Pause) -> Iterator[str]:
    if len(ask.stages) > STAGES_MAX:
        yield f"stages: at most {STAGES_MAX}"
    for stage in ask.stages:
        names = stage.reviewers or ()
        yield from _reviewer_refusals("stages", names)
        if len({name.lower() for name in names}) < len(names):
            yield "stages: a reviewer is named twice at one stage"
        if not 1 <= stage.required <= REVIEWERS_MAX:
            yield f"stages: `required` is 1 to {REVIEWERS_MAX}"
        if is_closed(stage) and stage.required > len(names):
            yield f"stages: requires {stage.required} of {len(names)} reviewers"
    if ask.rejection == "majority" and not ask.stages:
        yield "rejection: `majority` needs `stages`"


def is_closed(stage: Stage) -> bool:
    """Whether it asks nobody but people by name."""
    return bool(stage.reviewers) and not any(name.startswith("@") for name in stage.reviewers or ())


def _reviewer_refusals(field: str, names: Sequence[str]) -> Iterator[str]:
    if len(names) > REVIEWERS_MAX:
        yield f"{field}: at most {REVIEWERS_MAX} reviewers and groups at one place"
    for name in names:
        if not (GROUP.fullmatch(name[1:]) if name.startswith("@") else _is_reviewer(name)):
            yield f"{field}: {name!r} is neither a reviewer nor a group"


def _endpoint_refusals(field: str, names: Sequence[str]) -> Iterator[str]:
    if len(names) > NOTIFY_MAX:
        yield f"{field}: at most {NOTIFY_MAX} endpoints"
    for name in names:
        if not GROUP.fullmatch(name):
            yield f"{field}: {name!r} is no endpoint: 1 to 64 of a-z 0-9 _ -"


def _is_id(id: str) -> bool:
    name, _, number = id.partition("#")
    is_number = "#" not in id or (re.fullmatch(r"[1-9][0-9]{0,5}", number) and 2 <= int(number) <= NUMBER_MAX)
    return bool(NAME.fullmatch(name) and is_number)


def _is_choice(choice: str) -> bool:
    return 1 <= len(choice.encode()) <= CHOICE_BYTES_MAX and choice != "expired" and not CONTROL.search(choice)


def _is_reviewer(name: str) -> bool:
    is_line = name.strip() == name and not CONTROL.search(name)
    return 1 <= len(name.encode()) <= REVIEWER_BYTES_MAX and not name.startswith("@") and is_line
