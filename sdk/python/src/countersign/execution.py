"""One run of one function, from the JSON of its input to the JSON of its result."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import sys
import traceback
from types import TracebackType
from typing import Any

from countersign.agent import Agent, Function
from countersign.asks import Host
from countersign.errors import Error, Stuck, error_json, is_shallow
from countersign.loop import author_path, run
from countersign.shapes import Misfit, dumps

INPUT_DEPTH_MAX = 64
"""How deep an input may nest; what the host checks nests no deeper."""

SDK = os.path.dirname(__file__) + os.sep


def run_function(agent: Agent, name: str, input: str, host: Host) -> tuple[bool, str]:
    """Whether it succeeded, and its result or its error, as JSON text."""
    # A component's generator is in the state that it had when the component was built, for every execution the same.
    random.seed(os.urandom(32))
    try:
        function = agent.functions.get(name)
        if function is None:
            known = ", ".join(agent.functions)
            raise Error("unknown_function", f"this agent has no function `{name}`; it has {known}")
        parameters = _read_input(function, input)
        result = run(host, _body(function, parameters))
        outcome = True, _write_result(function, result)
    # Even a SystemExit ends this execution only.
    except BaseException as error:
        _print_traceback(error)
        outcome = False, dumps(error_json(error))
    sys.stdout.flush()
    sys.stderr.flush()
    return outcome


async def _body(function: Function, parameters: dict[str, Any]) -> Any:
    result = function.body(**parameters)
    return await result if inspect.isawaitable(result) else result


def _read_input(function: Function, text: str) -> dict[str, Any]:
    try:
        if not is_shallow(text, INPUT_DEPTH_MAX):
            raise Misfit(f"the input nests more than {INPUT_DEPTH_MAX} deep")
        parameters: dict[str, Any] = function.input.read(json.loads(text))
        return parameters
    except Misfit as misfit:
        raise Error("invalid_input", str(misfit)) from None
    except ValueError as error:
        raise Error("invalid_input", f"the input is no JSON: {error}") from None


def _write_result(function: Function, result: Any) -> str:
    try:
        return dumps(function.output.write(result))
    except Misfit as misfit:
        why = f"the result of `{function.name}` does not fit its type hint: {misfit}"
        raise Error("invalid_result", why) from None
    except (ValueError, RecursionError) as error:
        raise Error("invalid_result", f"the result of `{function.name}` has no JSON form: {error}") from None


def _print_traceback(error: BaseException) -> None:
    """Where it happened, from the author's first line on, to the execution's log."""
    if isinstance(error, Stuck) or (isinstance(error, Error) and error.code in ("invalid_input", "unknown_function")):
        # No line of the author's has anything to do with it.
        print(error, file=sys.stderr)
        return
    error.__traceback__ = _from_author(error.__traceback__)
    report = traceback.TracebackException.from_exception(error)
    _rename(report, set())
    print("".join(report.format()), end="", file=sys.stderr)


def _from_author(trace: TracebackType | None) -> TracebackType | None:
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith((SDK, os.path.dirname(asyncio.__file__))):
        first = first.tb_next
    return first or trace


def _rename(report: traceback.TracebackException, seen: set[int]) -> None:
    """Gives source files the names that their author knows, in a traceback and all that belong to it."""
    if id(report) in seen:
        return
    seen.add(id(report))
    stack = [frame for frame in report.stack if not frame.filename.startswith(SDK)]
    report.stack[:] = stack or report.stack
    for frame in report.stack:
        frame.filename = author_path(frame.filename)
    related = [report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())]
    for other in related:
        if other is not None:
            _rename(other, seen)
