"""Checks of what an author passes to an ask.

A value of a wrong type would end the component where it crosses to the host, without a word about where it came from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from countersign.errors import sound

Seconds = float | timedelta


def string(text: Any, what: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{what}: a string is wanted, not {type(text).__name__}")
    return sound(text)


def optional(text: Any, what: str) -> str | None:
    return None if text is None else string(text, what)


def strings(texts: Iterable[str], what: str) -> tuple[str, ...]:
    # A string is a sequence of strings, too.
    if isinstance(texts, str):
        raise TypeError(f"{what}: a list of strings is wanted, not a string")
    return tuple(string(text, f"an item of {what}") for text in texts)


def number(value: Any, what: str, most: int, wanted: type[Any] | tuple[type[Any], ...]) -> None:
    if value is None:
        return
    if not isinstance(value, wanted) or isinstance(value, bool):
        words = "an integer" if wanted is int else "a number"
        raise TypeError(f"{what}: {words} is wanted, not {type(value).__name__}")
    if not 0 <= value <= most:
        raise ValueError(f"{what}: must be 0 to {most}")


def flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{what}: True or False is wanted, not {type(value).__name__}")
    return value


def millis(duration: Seconds) -> int:
    return whole_millis(duration.total_seconds() if isinstance(duration, timedelta) else duration)


def optional_millis(duration: Seconds | None) -> int | None:
    return None if duration is None else millis(duration)


def whole_millis(seconds: float) -> int:
    """Rounded up, so that no wait ends before its time; but 0.05 is 50, whatever a float makes of it."""
    if math.isnan(seconds):
        raise ValueError("a time must be a number, not NaN")
    # What a u64 holds is more than the host waits.
    millis = min(max(seconds, 0.0) * 1000, 2.0**63)
    return math.ceil(round(millis, 3))
