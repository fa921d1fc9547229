"""The event loop of an agent: asyncio's own, but for what it does when nothing is left to run.

It then waits for the answer to any of the asks that are open, and takes exactly one. So everything in asyncio that is
made of futures, tasks and timers behaves as in CPython; and what runs in which order depends on nothing but the
answers and their order, which the host keeps.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from countersign.arguments import whole_millis
from countersign.asks import Answer, Ask, Host, Sleep
from countersign.errors import Error, Stuck

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STUCK_TASKS_SHOWN = 10
"""How many waiting tasks the message of a stuck function names."""


class Timer(asyncio.TimerHandle):
    """A callback that an ask to sleep brings."""

    __slots__ = ("op",)
    op: int | None


class Loop(asyncio.BaseEventLoop):
    """Runs an agent's function on a host."""

    if TYPE_CHECKING:
        # Of `BaseEventLoop`, which typeshed does not tell.
        _ready: deque[asyncio.Handle]

        def _check_closed(self) -> None: ...

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self._waiting: dict[int, asyncio.Future[Answer] | Timer] = {}

    def time(self) -> float:
        return self.host.monotonic()

    async def ask(self, ask: Ask) -> Answer:
        """Asks, and gives the ask up if whoever waits here is cancelled."""
        op = self.host.submit(ask)
        answered: asyncio.Future[Answer] = self.create_future()
        self._waiting[op] = answered
        try:
            return await answered
        finally:
            if self._waiting.pop(op, None) is not None:
                self.host.abandon(op)

    def give_up(self) -> None:
        """Gives up what is still open: timers that nobody waits for any more."""
        for op in self._waiting:
            self.host.abandon(op)
        self._waiting.clear()

    # Timers are asks to sleep.

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._start_timer(self.time() + delay, delay, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._start_timer(when, when - self.time(), callback, args, context)

    def _start_timer(
        self, when: float, delay: float, callback: Callable[..., object], args: Any, context: Context | None
    ) -> Timer:
        self._check_closed()
        timer = Timer(when, callback, args, self, context)
        timer.op = None
        duration = whole_millis(delay)
        if duration == 0:
            self._ready.append(timer)
        else:
            timer.op = self.host.submit(Sleep(duration))
            self._waiting[timer.op] = timer
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, Timer) and handle.op is not None and self._waiting.pop(handle.op, None) is not None:
            self.host.abandon(handle.op)

    # What asyncio's loop calls to go one step on.

    def _run_once(self) -> None:
        if not self._ready:
            self._take_answer()
        # Callbacks that these schedule run in the next step, as in asyncio.
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _take_answer(self) -> None:
        if not self._waiting:
            raise Stuck(self._stuck())
        # What was printed belongs to the slice that printed it.
        sys.stdout.flush()
        sys.stderr.flush()
        op, answer = self.host.wait_any(list(self._waiting))
        waiting = self._waiting.pop(op)
        if isinstance(waiting, Timer):
            self._ready.append(waiting)
        elif waiting.done():
            # It was cancelled from outside, and its task has not run yet.
            pass
        elif isinstance(answer, Error):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _stuck(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        places = [f"{task.get_name()} waits at {_place(task)}" for task in tasks[:STUCK_TASKS_SHOWN]]
        more = [f"and {len(tasks) - len(places)} more"] if len(tasks) > len(places) else []
        return "the agent waits, but for none of its asks, so it can never go on: " + "; ".join(places + more)

    # What an agent does not have.

    def _write_to_self(self) -> None:
        """Wakes a selector, which this loop does not have."""

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        raise PermissionError("an agent has no threads: call the function directly, or `await` what is asynchronous")

    # The rest of the base class says `NotImplementedError`; it needs no words of ours.


NEVER_ENDED: list[set[asyncio.Task[Any]]] = []
"""The tasks of functions that were stuck: kept, because a coroutine that is thrown away runs its `finally`."""


def run(host: Host, coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a function to its end, as `asyncio.run` does: tasks that it leaves behind are cancelled, and waited for."""
    # componentize-py leaves a loop of its own; so does a test that is a coroutine, and goes on with it.
    outer = events._get_running_loop()
    events._set_running_loop(None)
    try:
        return _run(host, coroutine)
    finally:
        events._set_running_loop(outer)


def _run(host: Host, coroutine: Coroutine[Any, Any, T]) -> T:
    loop = Loop(host)
    events.set_event_loop(loop)
    try:
        result = loop.run_until_complete(loop.create_task(coroutine, name="the function"))
    except Stuck:
        # Nothing of it runs again, not even what stands in a `finally`.
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        NEVER_ENDED.append(tasks)
        loop.close()
        raise
    except BaseException:
        _cancel_rest(loop)
        raise
    _cancel_rest(loop)
    return result


def _cancel_rest(loop: Loop) -> None:
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
    for task in rest:
        if not task.cancelled() and task.exception() is not None:
            context = {"message": "a task that was left behind failed", "exception": task.exception(), "task": task}
            loop.call_exception_handler(context)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.give_up()
    events.set_event_loop(None)
    loop.close()


def _place(task: asyncio.Task[Any]) -> str:
    """Where the innermost coroutine that a task runs is; one of asyncio's own only if there is no other."""
    place = ""
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None and (not place or "/asyncio/" not in frame.f_code.co_filename):
            place = f'"{author_path(frame.f_code.co_filename)}", line {frame.f_lineno}, in {frame.f_code.co_name}'
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return place or "its end"


def author_path(path: str) -> str:
    """The path of a source file as its author knows it. `countersign.component` replaces what a component mounts."""
    for mount, name in MOUNTS.items():
        if path.startswith(mount):
            return name + path[len(mount) :]
    return path


MOUNTS: dict[str, str] = {}
"""Where a component had the source files when it was built, and what they are called for its author."""
