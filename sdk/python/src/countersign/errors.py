"""How a function fails, and what its asks may fail with."""

from __future__ import annotations

import json
from typing import Any, ClassVar

MESSAGE_CHARS_MAX = 16_384
"""Longest message of a function's error; what is beyond it is cut off."""


class Error(Exception):
    """A function fails with this `code`, for programs, and this `message`, for people.

    Its caller sees `{"code": …, "message": …}`. Codes are lower-case words joined by `_`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class _AskError(Error):
    """What an ask fails with. Its code is that of its class."""

    CODE: ClassVar[str]

    def __init__(self, message: str = "") -> None:
        super().__init__(self.CODE, message)

    def __str__(self) -> str:
        return self.message or self.code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,)


class AiError(_AskError):
    """A model did not answer."""

    CODE = "ai_error"


class AiRefused(AiError):
    """The model, or its provider, declined this prompt; asking again will not help."""

    CODE = "ai_refused"


class AiRateLimited(AiError):
    """The provider limits the rate; the host has already waited and tried again."""

    CODE = "ai_rate_limited"


class AiBudgetExhausted(AiError):
    """No budget is left for models."""

    CODE = "ai_budget_exhausted"


class AiInvalidOutput(AiError):
    """The answer does not satisfy the schema; the message says where."""

    CODE = "ai_invalid_output"


class AiUnavailable(AiError):
    """The provider could not be reached or failed; the host has already tried again."""

    CODE = "ai_unavailable"


class PauseError(_AskError):
    """A pause could not be opened, or a link to it not be made."""

    CODE = "pause_error"


class PauseInvalidRequest(PauseError):
    """A field is out of its bounds, names what does not exist, or a schema is none; the message names it."""

    CODE = "pause_invalid_request"


class CallError(_AskError):
    """A call gave no result."""

    CODE = "call_error"


class CallNotFound(CallError):
    """There is no such agent or function."""

    CODE = "call_not_found"


class CallDenied(CallError):
    """The host does not allow this call; the message says why."""

    CODE = "call_denied"


class CallFailed(CallError):
    """The called function failed; `error` is what it failed with."""

    CODE = "call_failed"

    def __init__(self, error: Any) -> None:
        super().__init__(f"the called function failed: {_text(error)}")
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.error,)


class CallCancelled(CallError):
    """The called execution was cancelled."""

    CODE = "call_cancelled"


class CallUnavailable(CallError):
    """The host could not carry it out; the message says why."""

    CODE = "call_unavailable"


def call_failed(text: str) -> CallFailed:
    """The error of a called function, from its text. What is not JSON is passed on as a string."""
    try:
        return CallFailed(loads(text))
    except (ValueError, RecursionError):
        return CallFailed(text)


DEPTH_MAX = 1_000
"""How deep what another agent says may nest; what the host checks nests less deep."""


def loads(text: str) -> Any:
    """The value of JSON that nobody has checked. `ValueError` if there is none."""
    if not is_shallow(text, DEPTH_MAX):
        raise ValueError(f"it nests more than {DEPTH_MAX:,} deep")
    return json.loads(text)


def is_shallow(text: str, most: int) -> bool:
    """Whether a parser that recurses can read it. A component has a small stack, and would trap."""
    depth, is_string, is_escaped = 0, False, False
    if text.count("[") + text.count("{") <= most:
        return True
    for char in text:
        if is_string:
            is_string = is_escaped or char != '"'
            is_escaped = char == "\\" and not is_escaped
        elif char == '"':
            is_string = True
        elif char in "[{":
            depth += 1
            if depth > most:
                return False
        elif char in "]}":
            depth -= 1
    return True


class Stuck(BaseException):
    """Every task waits for something that nothing will ever bring.

    Not an `Exception`: no task is told, because none could go on.
    """


def error_json(error: BaseException) -> dict[str, str]:
    """The error of a function that `error` ended: `{"code", "message"}`."""
    code: Any
    message: Any
    if isinstance(error, Error):
        code, message = error.code, error.message
    elif isinstance(error, Stuck):
        code, message = "stuck", str(error)
    else:
        code, message = type(error).__name__, error
    return {"code": sound(_words(code)), "message": sound(_words(message))[:MESSAGE_CHARS_MAX]}


def _words(value: Any) -> str:
    """A code or a message as text: an author may give anything, also what has no text."""
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose text fails with {type(error).__name__}>"


def sound(text: str) -> str:
    """The text without halves of surrogate pairs, which no JSON in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(error: Any) -> str:
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return f"{error['code']}: {error['message']}" if "code" in error else error["message"]
    return str(error)
