"""Functions that do several things at once, in every way that asyncio knows."""

import asyncio
from datetime import timedelta
from typing import Any

from countersign import CallError

from bed import app
from report import call_report


@app.function()
async def join() -> dict[str, Any]:
    """Asks `a` and `b` at once, and tells in which order they were answered."""
    order: list[str] = []

    async def ask(prompt: str) -> str:
        answer: str = await app.ai(prompt)
        order.append(prompt)
        return answer

    answers = await asyncio.gather(ask("a"), ask("b"))
    return {"answers": answers, "order": order}


@app.function()
async def gather() -> list[Any]:
    """Asks, pauses, calls and sleeps at once."""
    review, answer, result, _ = await asyncio.gather(
        app.pause("both"), app.ai("both?"), call_report(app.call("publisher.publish", content="x")), app.sleep(0.05)
    )
    return [review.decision, answer, result]


@app.function()
async def first_completed(timeout_ms: int = 50) -> dict[str, Any]:
    """Waits for the first of three, gives up the others, and asks once more."""
    tasks = {
        asyncio.create_task(app.pause("first"), name="pause"),
        asyncio.create_task(app.ai("first?"), name="model"),
        asyncio.create_task(asyncio.sleep(timeout_ms / 1000), name="sleep"),
    }
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)
    after = await app.ai("after: " + ", ".join(sorted(task.get_name() for task in done)))
    return {
        "done": sorted(task.get_name() for task in done),
        "cancelled": [t.cancelled() for t in pending],
        "after": after,
    }


@app.function()
async def as_completed() -> list[str]:
    """Takes answers as they come."""
    asks = [app.ai(f"question {i}") for i in range(4)]
    return [await answer for answer in asyncio.as_completed(asks)]


@app.function()
async def race(timeout_ms: int = 50) -> dict[str, Any]:
    """Races the pause `race` against a timer."""
    try:
        review = await asyncio.wait_for(app.pause("race"), timeout_ms / 1000)
    except TimeoutError:
        return {"winner": "sleep", "decision": None}
    return {"winner": "pause", "decision": review.decision}


@app.function()
async def timeout_expires() -> list[str]:
    """Gives a model and a call no time, and then asks without a limit."""
    seen = []
    for name, ask in (("call", app.call("slow.function", n=1)), ("pause", app.pause("slow"))):
        try:
            async with asyncio.timeout(0.01):
                await ask
            seen.append(f"{name} was in time")
        except TimeoutError:
            seen.append(f"{name} was late")
        except CallError as error:
            seen.append(f"{name}: {error.code}")
    return [*seen, await app.ai("after the timeouts")]


@app.function()
async def timeout_holds() -> dict[str, Any]:
    """Waits with a timer of a day, which must be given up; nested in one of a year."""
    try:
        async with asyncio.timeout(365 * 86400) as outer, asyncio.timeout(86400):
            answer = await app.ai("in time")
    except TimeoutError:
        # Only if the sleeps are answered out of turn.
        return {"answer": None, "expired": outer.expired()}
    return {"answer": answer, "expired": outer.expired()}


@app.function()
async def timeout_moves() -> dict[str, Any]:
    """Moves a timer while it runs."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(86400) as timer:
            await app.ai("how long?")
            timer.reschedule(loop.time() + 0.02)
            await app.pause("moved")
    except TimeoutError:
        return {"expired": True}
    return {"expired": timer.expired()}


@app.function()
async def task_group() -> list[str]:
    """Asks three at once and waits for all."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(app.ai(f"part {i}")) for i in range(3)]
    return [task.result() for task in tasks]


@app.function()
async def task_group_fails() -> dict[str, Any]:
    """One of three fails as soon as it is answered; the others are given up, and clean up with an ask of their own."""
    cleaned: list[int] = []

    async def patient(number: int) -> None:
        try:
            await app.pause(f"patient-{number}")
        finally:
            await app.sleep(0.01)
            cleaned.append(number)

    async def hasty() -> None:
        answer = await app.ai("shall I fail?")
        raise ValueError(answer)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(patient(1))
            group.create_task(hasty())
            group.create_task(patient(2))
    except* ValueError as errors:
        messages = [str(error) for error in errors.exceptions]
    return {"messages": messages, "cleaned": sorted(cleaned)}


@app.function()
async def cancel() -> list[str]:
    """Cancels a task that waits for a call, one that refuses to be cancelled, and one that never began."""
    seen: list[str] = []

    async def waits() -> None:
        try:
            await app.call("slow.function", n=1)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def refuses() -> None:
        try:
            await app.pause("refused")
        except asyncio.CancelledError:
            seen.append(f"no: {await app.ai('must I go?')}")

    tasks = [asyncio.create_task(waits()), asyncio.create_task(refuses())]
    # Both ask.
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(waits()))
    for task in tasks:
        task.cancel("enough")
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [*seen, *(type(result).__name__ for result in results)]


@app.function()
async def shield() -> dict[str, Any]:
    """Times out on a pause, but does not give it up, and comes back to it."""
    pause = asyncio.ensure_future(app.pause("shielded"))
    try:
        review = await asyncio.wait_for(asyncio.shield(pause), 0.02)
        return {"late": False, "decision": review.decision}
    except TimeoutError:
        return {"late": True, "decision": (await pause).decision}


@app.function()
async def left_behind() -> str:
    """Returns while a task of its own still waits; that one is given up, and says goodbye."""

    async def goodbye() -> None:
        try:
            await app.pause("forgotten")
        finally:
            print("goodbye")

    task = asyncio.create_task(goodbye())
    answer: str = await app.ai("anything else?")
    assert task is not None
    return answer


@app.function()
async def queue() -> dict[str, Any]:
    """Two workers take from a bounded queue what a third puts there, one ask each; with a lock and the like."""
    jobs: asyncio.Queue[int] = asyncio.Queue(2)
    lock, begin, slots = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(1)
    done: list[str] = []

    async def work(name: str) -> None:
        await begin.wait()
        while True:
            job = await jobs.get()
            async with slots:
                await app.ai(f"job {job}")
            async with lock:
                done.append(f"{name} {job}")
            jobs.task_done()

    workers = [asyncio.create_task(work(name)) for name in ("x", "y")]
    await app.sleep(timedelta(milliseconds=5))
    begin.set()
    for job in range(5):
        await jobs.put(job)
    await jobs.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return {"done": len(done), "first": done[0]}


@app.function()
async def generators() -> list[str]:
    """Leaves an asynchronous generator in its middle, which then cleans up."""
    seen = []

    async def answers() -> Any:
        try:
            for i in range(10):
                yield await app.ai(f"item {i}")
        finally:
            seen.append("closed")

    async for answer in answers():
        seen.append(answer)
        if len(seen) == 2:
            break
    after = await app.ai("after")
    return [*seen, after]
