"""asyncio on a host: what waits, what is given up, and in which order."""

import asyncio
import unittest
from collections.abc import Callable, Coroutine
from typing import Any

from countersign import Agent
from countersign.arguments import whole_millis
from countersign.asks import Sleep
from countersign.testing import Run, after, never, run

app = Agent("loop")


def play(body: Callable[[], Coroutine[Any, Any, Any]], *answers: Any) -> Run:
    agent = Agent("loop")
    agent.function(name="f")(body)
    return run(agent, "f", answers=answers)


class Tasks(unittest.TestCase):
    def test_gather_asks_all_at_once(self) -> None:
        async def f() -> Any:
            return await asyncio.gather(app.ai("a"), app.ai("b"))

        done = play(f, after(2, "first asked"), after(1, "second asked"))
        self.assertEqual(done.result, ["first asked", "second asked"])
        self.assertEqual(len(done.asks), 2)

    def test_the_order_of_answers_is_seen(self) -> None:
        async def f() -> Any:
            return [await each for each in asyncio.as_completed([app.ai("a"), app.ai("b"), app.ai("c")])]

        self.assertEqual(play(f, after(3, "a"), after(1, "b"), after(2, "c")).result, ["b", "c", "a"])

    def test_what_loses_a_race_is_given_up(self) -> None:
        async def f() -> Any:
            tasks = [asyncio.create_task(app.ai("a")), asyncio.create_task(app.pause("p"))]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            return [len(done), await app.ai("b")]

        done = play(f, "A", after(9, "approved"), "B")
        self.assertEqual(done.result, [1, "B"])
        self.assertEqual(done.abandoned, [done.asks[1]])

    def test_a_timeout_gives_up_and_a_met_one_gives_up_its_timer(self) -> None:
        async def f() -> Any:
            async with asyncio.timeout(10):
                first = await app.ai("a")
            try:
                await asyncio.wait_for(app.pause("p"), 5)
            except TimeoutError:
                return [first, "late", asyncio.get_running_loop().time()]

        done = play(f, after(1, "A"), never())
        self.assertEqual(done.result, ["A", "late", 6.0])
        self.assertEqual([ask.kind for ask in done.asks], ["sleep", "ai", "sleep", "pause"])
        self.assertEqual([ask.kind for ask in done.abandoned], ["sleep", "pause"])

    def test_a_task_group_gives_up_its_others(self) -> None:
        async def hasty() -> None:
            raise ValueError(await app.ai("a"))

        async def f() -> Any:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(app.pause("p"))
                    group.create_task(hasty())
            except* ValueError as errors:
                messages = [str(error) for error in errors.exceptions]
            return messages

        done = play(f, never(), "boom")
        self.assertEqual(done.result, ["boom"])
        self.assertEqual(len(done.abandoned), 1)

    def test_tasks_left_behind_are_cancelled_and_may_ask_in_the_end(self) -> None:
        async def behind() -> None:
            try:
                await app.pause("p")
            finally:
                await app.call("a.b")

        async def f() -> Any:
            task = asyncio.create_task(behind())
            await asyncio.sleep(0)
            return task.done()

        done = play(f, never(), {})
        self.assertEqual(done.result, False)
        self.assertEqual([ask.kind for ask in done.asks], ["pause", "call"])

    def test_an_answer_that_comes_to_a_cancelled_task_is_dropped(self) -> None:
        async def f() -> Any:
            task = asyncio.create_task(app.ai("a"))
            other = asyncio.create_task(app.ai("b"))
            await other
            # Its answer is there, and it has not run yet.
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0].__class__.__name__

        self.assertEqual(play(f, after(1, "A"), "B").result, "CancelledError")


class Time(unittest.TestCase):
    def test_sleeps_are_asks_but_for_none(self) -> None:
        async def f() -> Any:
            await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            await app.sleep(0)
            return asyncio.get_running_loop().time()

        done = play(f)
        self.assertEqual(done.asks, [Sleep(50), Sleep(0)])
        self.assertEqual(done.result, 0.05)

    def test_a_timer_that_is_left_is_given_up(self) -> None:
        async def f() -> None:
            asyncio.get_running_loop().call_later(60, print)

        self.assertEqual(play(f).abandoned, [Sleep(60_000)])

    def test_millis_are_rounded_up_and_bounded(self) -> None:
        for seconds, millis in ((0, 0), (-1, 0), (1e-6, 1), (0.05, 50), (1.0005, 1001), (1e300, 2**63)):
            self.assertEqual(whole_millis(seconds), millis, seconds)
        # What is left of it after an addition and a subtraction is still 50 ms.
        self.assertEqual(whole_millis((12345.678 + 0.05) - 12345.678), 50)
        self.assertEqual(whole_millis(float("inf")), 2**63)
        with self.assertRaises(ValueError):
            whole_millis(float("nan"))


class Stuck(unittest.TestCase):
    def test_waiting_for_nothing_is_an_error_that_names_the_line(self) -> None:
        async def f() -> None:
            await app.ai("a")
            await asyncio.Event().wait()

        error = play(f, "A").error
        assert error is not None
        self.assertEqual(error["code"], "stuck")
        self.assertRegex(error["message"], r'the function waits at ".*test_asyncio.py", line \d+, in f')

    def test_nobody_can_catch_it(self) -> None:
        async def f() -> str:
            try:
                await asyncio.Event().wait()
            finally:
                print("cleaning up")
            return "done"

        done = play(f)
        assert done.error is not None
        self.assertEqual(done.error["code"], "stuck")
        self.assertNotIn("cleaning up", done.log)

    def test_an_answer_that_never_comes_is_a_mistake_of_the_test(self) -> None:
        async def f() -> None:
            await app.call("a.b")

        with self.assertRaisesRegex(AssertionError, "waits for ever: there is never an answer to the call of a.b"):
            play(f, never())
