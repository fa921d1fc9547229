"""Functions that fail, are stuck, take too much, or try what no agent may do."""

import asyncio
import threading
from typing import Any

from bed import app


@app.function()
async def exceptions() -> list[str]:
    """Raises and catches, with asks in between and within."""
    seen = []
    try:
        try:
            await app.ai("before")
            raise KeyError("inner")
        except KeyError as inner:
            seen.append(await app.ai("while handling"))
            raise RuntimeError("outer") from inner
        finally:
            seen.append(await app.ai("finally"))
    except RuntimeError as outer:
        seen.append(f"{outer} from {outer.__cause__!r}")
    return seen


@app.function()
async def uncaught() -> float:
    """Divides by zero, once a model has answered."""
    answer = await app.ai("may I?")
    return len(answer) / 0


@app.function()
async def uncaught_group() -> None:
    """Fails in two tasks at once."""

    async def fail_after(message: str) -> None:
        await app.ai(message)
        raise ValueError(message)

    async with asyncio.TaskGroup() as group:
        group.create_task(fail_after("one"))
        group.create_task(fail_after("two"))


@app.function()
async def wrong_result() -> int:
    """Returns something else than its hint says."""
    return "seven"  # type: ignore[return-value]


@app.function()
async def exits() -> None:
    """Ends the program."""
    raise SystemExit(3)


@app.function()
async def stuck() -> None:
    """Waits for something that nobody will ever do."""
    await asyncio.Event().wait()


@app.function()
async def stuck_in_gather() -> None:
    """Asks, and then waits for nothing, in two tasks."""
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await asyncio.gather(app.ai("first"), asyncio.Event().wait(), never)


@app.function()
async def spin() -> None:
    """Never returns."""
    while True:
        pass


@app.function()
async def spin_after_ai() -> None:
    """Never returns, once a model has answered."""
    await app.ai("may I?")
    while True:
        pass


@app.function()
async def grow() -> dict[str, Any]:
    """Takes memory, 1 MiB at a time, until it is given no more."""
    taken = []
    try:
        while True:
            taken.append(b"\xa5" * (1 << 20))
    except MemoryError:
        mib = len(taken)
        taken.clear()
    return {"mib": mib}


@app.function()
async def recurse_stack() -> dict[str, Any]:
    """Calls itself until CPython stops it."""

    def descend(depth: int) -> int:
        try:
            return descend(depth + 1)
        except RecursionError:
            return depth

    return {"depth": descend(0)}


@app.function()
async def forbidden() -> dict[str, str]:
    """Tries what no agent may do."""
    attempts = {
        "open": lambda: open("/etc/passwd"),
        "process": lambda: asyncio.base_events.subprocess.run(["ls"]),
        "thread": lambda: threading.Thread(target=print).start(),
        "executor": lambda: asyncio.get_running_loop().run_in_executor(None, print),
        "import": lambda: __import__("email.mime.audio"),
    }
    said = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            said[name] = "nothing"
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said
