"""Who decides at a pause, when and with what; and that the host of unit tests takes what a host takes."""

import asyncio
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import countersign
from countersign import Agent, Escalation, Review, Stage
from countersign.asks import Pause, ask_json
from countersign.fake_review import _fill
from countersign.testing import Run, after, approved, decided, expired, never, rejected, run

HOUR = 3600


@dataclass
class Mail:
    to: str
    cents: int = 5


def play(function: Callable[[Agent], Any], *answers: Any) -> Run:
    """Runs a function of a new agent."""
    agent = Agent("small")

    @agent.function
    async def f() -> Any:
        return await function(agent)

    return run(agent, "f", answers=answers)


def review(answer: Any, **request: Any) -> Any:
    """What an agent is told when it pauses like this."""

    async def f(app: Agent) -> Any:
        seen: Review = await app.pause("x", **request)
        return seen

    done = play(f, answer)
    assert done.error is None, done.error
    return done.result


def asked(**request: Any) -> dict[str, Any]:
    async def f(app: Agent) -> None:
        await app.pause("x", **request)

    return ask_json(play(f, never() if "expires_in" in request else approved(reviewer="ana")).asks[0])


CONTRACT = {"stages": [Stage(["@legal"], required=2), Stage(["ana", "bo"])]}
"""Two people of legal's, and then one of two by name."""


def by(*names: str) -> list[Review]:
    return [approved(reviewer=name) for name in names]


class Requests(unittest.TestCase):
    def test_a_pause_has_the_form_of_the_journal(self) -> None:
        request = asked(
            payload="text", editable=True, expires_in=4 * HOUR, default_decision="rejected",
            feedback_required=["rejected"], rejection="majority", forbid_self_approval=True,
            reminders=[HOUR, timedelta(hours=2)], notify=["legal-slack"],
            escalations=[Escalation(after=2 * HOUR, reviewers=["@leads"]), Escalation(after=9.5, notify=["pager"])],
            **CONTRACT,
        )  # fmt: skip
        expected = {
            "kind": "pause",
            "approval_request_id": "x",
            "expires_in_ms": 14_400_000,
            "default_decision": "rejected",
            "payload": '"text"',
            "editable": True,
            "response_schema": '{"type":"string"}',
            "feedback_required": ["rejected"],
            "stages": [{"reviewers": ["@legal"], "required": 2}, {"reviewers": ["ana", "bo"], "required": 1}],
            "rejection": "majority",
            "forbid_self_approval": True,
            "reminders_ms": [3_600_000, 7_200_000],
            "escalations": [
                {"after_ms": 7_200_000, "reviewers": ["@leads"]},
                {"after_ms": 9_500, "notify": ["pager"]},
            ],
            "notify": ["legal-slack"],
        }
        self.assertEqual(list(request.items()), list(expected.items()))

    def test_reviewers_are_one_stage(self) -> None:
        self.assertEqual(asked(reviewers=["ana", "@legal"], required=2)["stages"],
                         [{"reviewers": ["ana", "@legal"], "required": 2}])  # fmt: skip
        self.assertEqual(asked(required=2)["stages"], [{"reviewers": [], "required": 2}])
        self.assertNotIn("stages", asked())

    def test_what_may_be_edited_keeps_its_type(self) -> None:
        async def f(app: Agent) -> Any:
            seen = await app.pause("x", payload=Mail("ana"), editable=True)
            assert isinstance(seen.response, Mail)
            days = await app.pause("y", payload=date(2026, 1, 1), editable=True)
            assert isinstance(days.response, date)
            return [seen.response, days.response]

        done = play(f, approved(response={"to": "bo"}), approved())
        self.assertEqual(done.result, [{"to": "bo", "cents": 5}, "2026-01-01"])
        for untyped in ({"n": 1}, [1], 50, 49.99, True):
            self.assertNotIn("response_schema", asked(payload=untyped, editable=True))
        self.assertNotIn("response_schema", asked(payload=Mail("ana")))
        own = asked(payload=Mail("ana"), editable=True, response_schema={"type": "object"})
        self.assertEqual(own["response_schema"], '{"type":"object"}')

    def test_a_request_out_of_bounds_is_refused_by_the_name_of_its_field(self) -> None:
        many = [f"r{i}" for i in range(65)]
        cases: list[tuple[str, dict[str, Any]]] = [
            ("choices: ", {"choices": ["expired"]}),
            ("feedback-required: ", {"feedback_required": ["no"]}),
            ("default-decision: ", {"default_decision": "expired"}),
            ("editable: ", {"editable": True}),
            ("rejection: ", {"rejection": "majority"}),
            ("stages: ", {"stages": [Stage()] * 9}),
            ("stages: ", {"reviewers": many}),
            ("stages: ", {"reviewers": ["ana", "Ana"]}),
            ("stages: ", {"reviewers": ["@Legal Department"]}),
            ("stages: ", {"reviewers": ["ana"], "required": 2}),
            ("stages: ", {"required": 0}),
            ("reminders-ms: ", {"reminders": [1] * 17}),
            ("reminders-ms, escalations: ", {"reminders": [timedelta(days=367)]}),
            ("escalations: ", {"escalations": [Escalation(1)] * 9}),
            ("escalations: ", {"escalations": [Escalation(1, [" "])]}),
            ("notify: ", {"notify": ["slack"] * 9}),
            ("escalations: notify: ", {"escalations": [Escalation(1, notify=["a b"])]}),
        ]
        for field, request in cases:
            with self.subTest(field, request=request):

                async def f(app: Agent, request: Any = request) -> None:
                    await app.pause("x", **request)

                error = play(f).error
                assert error is not None
                self.assertEqual(error["code"], "pause_invalid_request")
                self.assertTrue(error["message"].startswith(field), error)


class Reviews(unittest.TestCase):
    def refused(self, why: str, answer: Any, **request: Any) -> None:
        with self.assertRaisesRegex(AssertionError, f"the pause 'x': {why}"):
            review(answer, **request)

    def test_one_decision_stands_for_everybodys(self) -> None:
        seen = review(approved(reviewer="bo", feedback="Go."), **CONTRACT)
        self.assertEqual((seen["decision"], seen["reviewer"], seen["feedback"]), ("approved", "bo", "Go."))
        vote = {"reviewer": "bo", "claimed": False, "stage": 1, "decision": "approved", "feedback": "Go.",
                "response": None, "voted_at": seen["decided_at"]}  # fmt: skip
        self.assertEqual(seen["votes"], [vote])
        seen = review(rejected(), **CONTRACT)
        self.assertEqual((seen["reviewer"], seen["votes"][0]["stage"]), ("somebody", 0))
        self.assertEqual(review(approved())["votes"], [])
        self.assertEqual(len(review(approved(), forbid_self_approval=True)["votes"]), 1)

    def test_votes_count_at_the_stage_that_they_come_to_and_the_last_one_is_the_reviews(self) -> None:
        votes = [approved(reviewer=name, feedback=f"{name} agrees.") for name in ("kim", "lee", "ana")]
        seen = review(approved(votes=votes), **CONTRACT)
        self.assertEqual([vote["stage"] for vote in seen["votes"]], [0, 0, 1])
        self.assertEqual((seen["reviewer"], seen["feedback"]), ("ana", "ana agrees."))

    def test_a_majority_is_that_of_those_who_are_left_to_vote(self) -> None:
        no = [rejected(reviewer=name) for name in ("ana", "bo", "cy")]
        board = {"reviewers": ["ana", "bo", "cy"], "rejection": "majority"}
        self.assertEqual(len(review(rejected(votes=[no[0], *by("bo"), no[2]]), **board, required=2)["votes"]), 3)
        self.assertEqual(len(review(rejected(votes=no[:2]), required=2, rejection="majority")["votes"]), 2)
        self.assertEqual(review(approved(votes=[no[0], *by("bo")]), **board)["decision"], "approved")
        # Who is in a group only a host knows.
        self.assertEqual(review(rejected(votes=no), reviewers=["@board"], rejection="majority")["decision"], "rejected")
        self.refused("the votes do not lead to 'rejected', but to nothing yet", rejected(votes=no[:1]), **board)

    def test_votes_that_no_host_would_take(self) -> None:
        self.refused(
            "the votes do not lead to 'approved', but to nothing", approved(votes=by("kim", "lee")), **CONTRACT
        )
        self.refused("Kim votes twice", approved(votes=by("kim", "Kim")), **CONTRACT)
        self.refused("max is not asked at stage 1", approved(votes=by("kim", "lee", "max")), **CONTRACT)
        late = rejected(votes=[rejected(reviewer="kim"), *by("lee")])
        self.refused("it was decided before lee voted", late, **CONTRACT)
        self.refused("a vote has no reviewer", approved(votes=[approved()]), **CONTRACT)
        self.refused("there are votes, but", approved(votes=by("kim")))
        self.refused("a review with votes has nothing else", approved(feedback="!", votes=by("ana")), reviewers=["ana"])

    def test_decisions_that_no_host_would_take(self) -> None:
        self.refused("the decision 'rejected' needs feedback", rejected(feedback=" "), feedback_required=["rejected"])
        self.refused("it has a form: 'approved' needs a response", approved(), response_schema=Mail)
        self.assertIsNone(review(rejected(), response_schema=Mail)["response"])

    def test_what_is_approved_as_it_was_is_the_response(self) -> None:
        mail = {"to": "ana"}
        self.assertEqual(review(approved(), payload=mail, editable=True)["response"], mail)
        edited = review(approved(response={"to": "bo"}), payload=mail, editable=True)
        self.assertEqual(edited["response"], {"to": "bo"})
        self.assertIsNone(review(rejected(), payload=mail, editable=True)["response"])

    def test_what_a_form_has_a_default_for_may_be_left_out(self) -> None:
        form = {"type": "object", "properties": {"euros": {"default": 5}, "note": {"type": "string"}}}
        self.assertEqual(review(approved(), response_schema=form)["response"], {"euros": 5})
        noted = review(approved(response={"note": "n"}), response_schema=form)["response"]
        self.assertEqual(noted, {"note": "n", "euros": 5})
        by_default = review(never(), response_schema=form, expires_in=1, default_decision="approved")
        self.assertEqual((by_default["response"], by_default["reviewer"]), ({"euros": 5}, None))

        nested = {"properties": {"limit": {"properties": {"euros": {"default": 5}}}, "item": {"$ref": "#/$defs/item"}},
                  "$defs": {"item": {"default": {}, "properties": {"count": {"default": 1}}}}}  # fmt: skip
        document: dict[str, Any] = {"limit": {}}
        self.assertTrue(_fill(nested, nested, document))
        self.assertEqual(document, {"limit": {"euros": 5}, "item": {}})

    def test_a_default_decision_is_that_of_nobody(self) -> None:
        for late in (never(), after(2, approved()), expired()):
            seen = review(late, expires_in=1, default_decision="rejected")
            self.assertEqual((seen["decision"], seen["reviewer"]), ("rejected", None))

        async def waits(app: Agent) -> list[str]:
            pause = asyncio.create_task(app.pause("x", expires_in=2, default_decision="rejected"))
            await asyncio.sleep(0)
            reviews = [await app.wait_for_resume("x", timeout=1), await app.wait_for_resume("x"), await pause]
            return [seen.decision for seen in reviews]

        self.assertEqual(play(waits, never()).result, ["expired", "rejected", "rejected"])


class Names(unittest.TestCase):
    def test_the_second_pause_under_a_name_has_an_id_of_its_own(self) -> None:
        async def f(app: Agent) -> list[str]:
            first = await app.pause("x")
            with self.assertRaises(countersign.PauseInvalidRequest):
                await app.pause("x", required=0)
            second = await app.pause("x")
            waited = [await app.wait_for_resume("x"), await app.wait_for_resume("x#2")]
            third = await asyncio.gather(app.pause("x"), app.wait_for_resume("x#3"))
            for none in ("x#1", "x#", "x#02", "a b#2", "x#200001"):
                with self.assertRaises(countersign.PauseInvalidRequest):
                    await app.wait_for_resume(none)
            return [seen.decision for seen in (first, second, *waited, *third)]

        done = play(f, approved(), rejected(), decided("request_changes"))
        expected = ["approved", "rejected", "approved", "rejected", "request_changes", "request_changes"]
        self.assertEqual((done.result, done.error), (expected, None))

    def test_the_number_of_a_refused_pause_is_used_up_if_another_one_has_followed(self) -> None:
        async def f(app: Agent) -> str:
            asks = [app.pause("x", required=0), app.pause("x")]
            refused, second = await asyncio.gather(*asks, return_exceptions=True)
            self.assertIsInstance(refused, countersign.PauseInvalidRequest)
            assert isinstance(second, Review)
            return (await app.wait_for_resume("x#2")).decision

        self.assertEqual(play(f, rejected()).result, "rejected")

    def test_a_link_needs_no_answer_but_the_id_of_a_pause_and_a_name(self) -> None:
        done = play(lambda app: app.review_link("x#2", reviewer="ana"))
        self.assertEqual(done.result, "https://countersign.invalid/r/x#2/ana")
        self.assertEqual([ask_json(ask) for ask in done.asks],
                         [{"kind": "review_link", "approval_request_id": "x#2", "reviewer": "ana"}])  # fmt: skip
        for id, reviewer in (("a b", "ana"), ("x", ""), ("x", "@legal")):

            async def f(app: Agent, id: str = id, reviewer: str = reviewer) -> str:
                return await app.review_link(id, reviewer)

            error = play(f).error
            assert error is not None
            self.assertEqual(error["code"], "pause_invalid_request")

    def test_a_stage_of_nobody_is_not_one_of_everybody(self) -> None:
        with self.assertRaisesRegex(ValueError, "reviewers: name at least one"):
            Stage([])
        self.assertEqual(Pause("x", stages=(Stage(),)).stages[0].reviewers, None)
