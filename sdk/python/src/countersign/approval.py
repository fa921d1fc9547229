"""Who decides at a pause, and whom else to ask when that takes long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from countersign.arguments import Seconds, millis, number, strings

T = TypeVar("T")

REQUIRED_MAX = 2**32 - 1
"""What the contract has room for; a host wants less."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Who decides at one step of an approval."""

    reviewers: Sequence[str] | None = None
    """At most 64, by name; groups of the tenant with an `@` before theirs. None: whoever may decide for the tenant."""

    required: int = 1
    """How many of them must agree on a choice; 1 to 64."""

    def __post_init__(self) -> None:
        if self.reviewers is not None:
            names = strings(self.reviewers, "reviewers")
            # To the host a list of nobody is everybody. Whoever computed one did not mean that.
            if not names:
                raise ValueError("reviewers: name at least one, or leave it out to ask whoever may decide")
            object.__setattr__(self, "reviewers", names)
        if self.required is None:
            raise TypeError("required: an integer is wanted, not None")
        number(self.required, "required", REQUIRED_MAX, int)


@dataclass(frozen=True, slots=True)
class Escalation:
    """Whom else to ask when a decision is long in coming."""

    after: Seconds
    """Seconds, or a timedelta, after the pause was opened."""

    reviewers: Sequence[str] = ()
    """Who may decide from then on, too, at every stage."""

    notify: Sequence[str] = ()
    """Names of the tenant's endpoints that are told then; at most 8."""

    def __post_init__(self) -> None:
        millis(self.after)
        object.__setattr__(self, "reviewers", strings(self.reviewers, "reviewers"))
        object.__setattr__(self, "notify", strings(self.notify, "notify"))

    @property
    def after_ms(self) -> int:
        return millis(self.after)


def stages_from(reviewers: Sequence[str] | None, required: int | None, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages that an author gave: one by itself, or several."""
    if reviewers is None and required is None:
        return tuple(_each(stages, Stage, "stages"))
    if stages:
        raise ValueError("give either reviewers and required, or stages, not both")
    return (Stage(reviewers, 1 if required is None else required),)


def escalations_from(escalations: Sequence[Escalation]) -> tuple[Escalation, ...]:
    return tuple(_each(escalations, Escalation, "escalations"))


def rule_from(rejection: str) -> str:
    if rejection not in ("first", "majority"):
        raise ValueError(f"rejection: 'first' or 'majority' is wanted, not {rejection!r}")
    return rejection


def _each(items: Sequence[T], cls: type[T], what: str) -> Sequence[T]:
    for item in items:
        if not isinstance(item, cls):
            raise TypeError(f"{what}: a list of {cls.__name__} is wanted, not of {type(item).__name__}")
    return items
