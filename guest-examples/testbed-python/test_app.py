"""Every function ends, in whatever order its asks are answered. `python -m unittest`, with the SDK installed."""

import contextlib
import io
import json
import math
import random
import unittest
from collections.abc import Callable, Sequence

from countersign.asks import Ai, Answer, Ask, Call, Pause
from countersign.execution import run_function
from countersign.testing import FakeHost, approved

from app import app

# Those that a host must stop, that try what works outside a component, or that really wait.
NOT_HERE = {"spin", "spin_after_ai", "grow", "forbidden", "std_sleep"}

FAIL = {
    "fail": "refused",
    "uncaught": "ZeroDivisionError",
    "uncaught_group": "ExceptionGroup",
    "wrong_result": "invalid_result",
    "exits": "SystemExit",
    "stuck": "stuck",
    "stuck_in_gather": "stuck",
}

Pick = Callable[[Sequence[int]], int]


def answer(ask: Ask) -> object:
    if isinstance(ask, Ai):
        return f"echo: {ask.messages[-1].content}"
    if isinstance(ask, Call):
        return json.loads(ask.input)
    has_form = isinstance(ask, Pause) and ask.response_schema is not None
    return approved(feedback="Shorter.", response={"stars": 3, "remarks": []} if has_form else None)


class OrderedHost(FakeHost):
    """Answers in the order that `pick` says, whatever the time."""

    def __init__(self, pick: Pick) -> None:
        super().__init__(answer)
        self.pick = pick

    def wait_any(self, ops: Sequence[int]) -> tuple[int, Answer]:
        # A wait for a pause that is open has that one's answer.
        ready = [op for op in ops if self._open[op].due < math.inf]
        return super().wait_any([self.pick(ready or ops)])


class EveryFunction(unittest.TestCase):
    def test_ends_in_any_order_of_answers(self) -> None:
        dice = random.Random(1)
        orders: list[Pick] = [min, max, dice.choice, dice.choice, dice.choice]
        for name in app.functions.keys() - NOT_HERE:
            for number, pick in enumerate(orders):
                with self.subTest(name, order=number), contextlib.redirect_stdout(io.StringIO()) as printed:
                    host = OrderedHost(pick)
                    with contextlib.redirect_stderr(printed):
                        succeeded, text = run_function(app, name, "{}", host)
                    self.assertIsNone(host.complaint)
                    self.assertEqual(succeeded, name not in FAIL, text)
                    if not succeeded:
                        self.assertEqual(json.loads(text)["code"], FAIL[name])

    def test_the_table_of_those_that_fail_is_complete(self) -> None:
        self.assertLessEqual(FAIL.keys(), app.functions.keys())
