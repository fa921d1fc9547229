"""Every function ends, in whatever order its asks are answered. `python -m unittest`, with the SDK installed."""

import contextlib
import io
import json
import math
import random
import unittest
from collections.abc import Callable, Sequence

from countersign.asks import Ai, Answer, Ask, Call, Pause, ask_json
from countersign.execution import run_function
from countersign.testing import FakeHost, approved, rejected, run

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
    has_form = isinstance(ask, Pause) and ask.approval_request_id == "form"
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

    def test_a_request_is_asked_as_it_is_given_and_the_review_has_every_vote(self) -> None:
        request = {
            "approval_request_id": "contract",
            "approval_request_url": "https://x.example",
            "expires_in_ms": 9_000,
            "default_decision": "rejected",
            "title": "T",
            "payload": {"n": 1},
            "editable": True,
            "response_schema": {"type": "object"},
            "choices": ["approved", "rejected"],
            "feedback_required": ["rejected"],
            "stages": [{"reviewers": ["@legal"], "required": 2}, {"reviewers": [], "required": 1}],
            "rejection": "majority",
            "forbid_self_approval": True,
            "reminders_ms": [1_000],
            "escalations": [{"after_ms": 2_000, "reviewers": ["@leads"], "notify": ["pager"]}],
            "notify": ["legal-slack"],
        }
        votes = [approved(reviewer=name) for name in ("kim", "lee", "max")]
        done = run(app, "approve", request, answers=[approved(votes=votes)])
        asked = ask_json(done.asks[0])
        asked |= {name: json.loads(asked[name]) for name in ("payload", "response_schema")}
        self.assertEqual(asked, {"kind": "pause"} | request)
        self.assertEqual((done.result["decision"], done.result["response"]), ("approved", {"n": 1}))
        self.assertEqual([vote["stage"] for vote in done.result["votes"]], [0, 0, 1])
        self.assertEqual(done.result["votes"][2]["voted_at_ms"], done.result["decided_at_ms"])

    def test_three_pauses_under_one_name_are_three(self) -> None:
        done = run(app, "rounds", {"n": 3}, answers=[approved(), rejected(), approved()])
        self.assertEqual(done.result, ["approved", "rejected", "approved"])

    def test_a_link_is_got_before_its_pause_is_open(self) -> None:
        done = run(app, "link_then_pause", {"reviewer": "ana"}, answers=[approved(reviewer="ana")])
        self.assertEqual([ask.kind for ask in done.asks], ["review_link", "pause"])
        self.assertEqual(done.result["link"], "https://countersign.invalid/r/only/ana")
        self.assertEqual(done.result["review"]["votes"][0]["reviewer"], "ana")

    def test_the_table_of_those_that_fail_is_complete(self) -> None:
        self.assertLessEqual(FAIL.keys(), app.functions.keys())
