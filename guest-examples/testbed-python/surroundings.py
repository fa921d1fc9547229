"""Time, chance and the log."""

import asyncio
import sys
import time
from typing import Any

import sources
from bed import app


@app.function()
async def sleep(ms: int = 50) -> dict[str, Any]:
    """Sleeps."""
    await app.sleep(ms / 1000)
    return {"slept_ms": ms}


@app.function()
async def std_sleep(ms: int = 50) -> dict[str, Any]:
    """Sleeps as a program does that knows nothing of its host."""
    time.sleep(ms / 1000)
    return {"slept_ms": ms}


@app.function()
async def sleep_forms() -> list[int]:
    """Sleeps in every way that asyncio knows, all at once."""
    order: list[int] = []
    loop = asyncio.get_running_loop()
    called: asyncio.Future[None] = loop.create_future()
    loop.call_later(0.03, called.set_result, None)
    loop.call_at(loop.time() + 0.02, order.append, 1)
    loop.call_later(86400, order.append, 99).cancel()

    async def note(number: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(number)

    await asyncio.gather(note(2, 0.01), note(3, 0), note(4, -1), called, app.sleep(0.04))
    return order


@app.function()
async def ticks(count: int = 5, pauses: int = 0) -> dict[str, Any]:
    """Sleeps for no time, often, and tells how much time that was. Pauses afterwards, if asked to."""
    start = time.time()
    for _ in range(count):
        await app.sleep(0)
    elapsed = time.time() - start
    for i in range(pauses):
        await app.pause(f"p{i}")
    return {"n": count, "clock_ms": round(elapsed * 1000)}


@app.function()
async def clock() -> dict[str, Any]:
    """Reads the clocks twice before and twice after asking a model."""
    start = time.monotonic()
    before = [sources.clocks(start), sources.clocks(start)]
    await app.ai("what time is it?")
    return {"before": before, "after": [sources.clocks(start), sources.clocks(start)]}


@app.function()
async def random() -> dict[str, Any]:
    """Returns what chance gives, before and after asking a model, and the order of sets."""
    before = sources.chance()
    order, addresses = sources.set_order(), sources.address_order()
    answer = await app.ai(f"a number? {before['random']} {order[0]} {addresses[0]}")
    again = sources.set_order() == order
    return {"before": before, "after": sources.chance(), "order": order, "addresses": addresses, "again": again,
            "answer": answer}  # fmt: skip


@app.function()
async def log(lines: int = 2) -> dict[str, Any]:
    """Prints so many lines to stdout and stderr, before and after asking a model, and a note."""
    for label in ("before", "after"):
        for i in range(lines):
            print(f"out {label} {i}")
            print(f"err {label} {i}", file=sys.stderr)
        app.note("a note", label=label, lines=lines)
        if label == "before":
            await app.ai("anything to add?")
    return {"lines": lines}


@app.function()
async def log_flood(bytes: int = 1000) -> dict[str, Any]:
    """Prints at least so many bytes to stdout."""
    line = "x" * 127
    lines = -(-bytes // 128)
    for _ in range(lines):
        print(line)
    return {"lines": lines}
