"""What an agent's functions ask, and what they make of the answers."""

import asyncio
import json
import math
import unittest
import unittest.mock
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import countersign
from countersign import Agent, Stage
from countersign.asks import Ai, Call, Pause
from countersign.errors import call_failed, loads
from countersign.testing import after, approved, ask_json, decided, never, rejected, run


@dataclass
class Form:
    stars: int


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError


app = Agent(node_id="content-pipeline", version="1.0.0")


@app.reasoner()
async def publish(brief: str) -> dict[str, Any]:
    """Publishes a post."""
    draft = await app.ai(system="You write.", user=brief)
    review = await app.pause("draft", approval_request_url="https://x.example", expires_in_hours=24)
    if not review.approved:
        return {"status": review.decision, "feedback": review.feedback}
    await app.call("publisher.publish", content=draft)
    return {"status": "published"}


@app.function(name="other-name", description="Another.")
async def other() -> None: ...


@app.function
async def forms() -> dict[str, Any]:
    review = await app.pause(
        approval_request_id="form", title="T", payload={"ü": [1]}, response_schema=Form, choices=["good", "bad"],
        expires_in=timedelta(milliseconds=1.5),
    )  # fmt: skip
    again = await app.wait_for_resume(approval_request_id="form", timeout=60)
    assert isinstance(review.response, Form)
    return {"stars": review.response.stars, "again": again.response, "at": again.decided_at}


@app.function
async def prompts(schema: bool = False) -> Any:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    return await app.ai("c", messages=turns, schema=Form if schema else None, model="m", temperature=0.5, max_tokens=9)


@app.function
async def raises(how: str) -> None:
    if how == "error":
        raise countersign.Error("too_late", "the shop is closed")
    if how == "call":
        await app.call("a.b")
    if how == "outside":
        await asyncio.to_thread(print)
    if how == "wrong types":
        raise countersign.Error(404, ValueError("not there"))  # type: ignore[arg-type]
    if how == "no text":
        raise Wordless
    raise ZeroDivisionError("by hand")


@app.function
async def id_and_note() -> str:
    app.note("seen", n=1, who={"a": "ü"})
    print("printed")
    return app.execution_id


class Functions(unittest.TestCase):
    def test_names_and_descriptions(self) -> None:
        self.assertEqual(app.functions["publish"].description, "Publishes a post.")
        self.assertEqual(app.functions["other-name"].description, "Another.")
        with self.assertRaisesRegex(ValueError, "two functions called `publish`"):
            app.function(name="publish")(other)
        for bad in ("Publish", "1", "", "a" * 65, "a.b"):
            with self.assertRaises(ValueError, msg=bad):
                app.function(name=bad or "")(other) if bad else Agent(bad)

    def test_the_asks_of_the_whole_way(self) -> None:
        done = run(app, "publish", {"brief": "spring"}, answers=["A draft.", approved(feedback="ok"), {"id": 1}])
        self.assertEqual(done.result, {"status": "published"})
        self.assertEqual(
            [ask_json(ask) for ask in done.asks],
            [
                {
                    "kind": "ai",
                    "messages": [{"role": "system", "content": "You write."}, {"role": "user", "content": "spring"}],
                },
                {
                    "kind": "pause",
                    "approval_request_id": "draft",
                    "approval_request_url": "https://x.example",
                    "expires_in_ms": 86_400_000,
                },
                {"kind": "call", "target": "publisher.publish", "input": '{"content":"A draft."}'},
            ],
        )

    def test_other_decisions(self) -> None:
        done = run(app, "publish", {"brief": "x"}, answers=["d", rejected(feedback="No.")])
        self.assertEqual(done.result, {"status": "rejected", "feedback": "No."})
        self.assertEqual(run(app, "publish", {"brief": "x"}, answers=["d", never()]).result["status"], "expired")

    def test_wrong_input_names_its_field(self) -> None:
        for wrong, message in (
            ({}, "`brief`: is missing"),
            ({"brief": 3}, "`brief`: an integer, but a string is wanted"),
            ({"brief": "x", "more": 1}, "`more`: there is no such field"),
            ([], "an array, but an object is wanted"),
        ):
            error = run(app, "publish", wrong).error
            assert error is not None
            self.assertEqual(error["code"], "invalid_input")
            self.assertIn(message, error["message"])

    def test_forms(self) -> None:
        done = run(app, "forms", answers=[decided("good", response={"stars": 3}, reviewer="ann")])
        self.assertEqual(done.result["stars"], 3)
        self.assertEqual(done.result["again"], {"stars": 3})
        ask = done.asks[0]
        assert isinstance(ask, Pause)
        self.assertEqual((ask.payload, ask.choices, ask.expires_in_ms), ('{"ü":[1]}', ("good", "bad"), 2))
        self.assertEqual(json.loads(ask.response_schema or "")["required"], ["stars"])

    def test_prompts(self) -> None:
        done = run(app, "prompts", answers=["text"])
        self.assertEqual(done.result, "text")
        ask = done.asks[0]
        assert isinstance(ask, Ai)
        self.assertEqual([message.role for message in ask.messages], ["user", "assistant", "user"])
        self.assertEqual((ask.model, ask.temperature, ask.max_tokens, ask.schema), ("m", 0.5, 9, None))
        self.assertEqual(run(app, "prompts", {"schema": True}, answers=[Form(2)]).result, {"stars": 2})

    def test_an_answer_that_does_not_fit_its_schema(self) -> None:
        for text in ("no JSON", '{"stars":"x"}', "[" * 10_000):
            error = run(app, "prompts", {"schema": True}, answers=[text]).error
            assert error is not None
            self.assertEqual(error["code"], "ai_invalid_output")

    def test_errors(self) -> None:
        def error(how: str, *answers: Any) -> Any:
            return run(app, "raises", {"how": how}, answers=answers).error

        self.assertEqual(error("error"), {"code": "too_late", "message": "the shop is closed"})
        self.assertEqual(error(""), {"code": "ZeroDivisionError", "message": "by hand"})
        self.assertEqual(error("outside")["code"], "PermissionError")
        self.assertEqual(error("wrong types"), {"code": "404", "message": "not there"})
        self.assertEqual(error("no text")["code"], "Wordless")
        failed = error("call", countersign.Error("publish_failed", "full"))
        self.assertEqual(failed["code"], "call_failed")
        self.assertIn("publish_failed: full", failed["message"])
        self.assertEqual(error("call", countersign.CallDenied("no"))["code"], "call_denied")
        self.assertEqual(run(app, "nothing").error, {"code": "unknown_function", "message": unittest.mock.ANY})

    def test_what_a_called_agent_says_may_nest_too_deep(self) -> None:
        deep = "[" * 1_001 + "]" * 1_001
        self.assertEqual(call_failed(deep).error, deep)
        self.assertEqual(loads('["' + "[" * 1_001 + '"]'), ["[" * 1_001])
        with self.assertRaisesRegex(ValueError, "nests more than 1,000 deep"):
            loads(deep)

    def test_a_traceback_is_the_authors(self) -> None:
        log = run(app, "raises", {"how": "call"}, answers=[countersign.CallDenied("no")]).log
        files = [line for line in log if line.startswith("  File ")]
        self.assertEqual(len(files), 1, log)
        self.assertIn("test_agent.py", files[0])
        self.assertEqual(log[-1], "countersign.errors.CallDenied: no")

    def test_the_log_and_the_id(self) -> None:
        done = run(app, "id_and_note")
        self.assertEqual(done.log, ['seen n=1 who={"a":"ü"}', "printed"])
        self.assertTrue(done.result.startswith("exec_"))

    def test_nothing_is_asked_outside_a_function(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "only a function of an agent can ask"):
            asyncio.run(app.ai("x"))

    def test_wrong_arguments_are_told_at_once(self) -> None:
        async def wrong() -> None:
            for ask, exception in (
                (app.ai(), ValueError),
                (app.ai(messages=[{"role": "god", "content": ""}]), ValueError),
                (app.ai(3), TypeError),  # type: ignore[arg-type]
                (app.ai("x", schema=bytes), TypeError),
                # What would trap on its way to the host, or be another ask on replay.
                (app.ai("x", temperature="hot"), TypeError),  # type: ignore[arg-type]
                (app.ai("x", temperature=math.nan), ValueError),
                (app.ai("x", temperature=1e300), ValueError),
                (app.ai("x", max_tokens=1.5), TypeError),  # type: ignore[arg-type]
                (app.ai("x", max_tokens=2**32), ValueError),
                (app.ai("x", max_tokens=-1), ValueError),
                (app.ai("x", model=3), TypeError),  # type: ignore[arg-type]
                (app.pause(3), TypeError),  # type: ignore[arg-type]
                (app.pause("x", title=3), TypeError),  # type: ignore[arg-type]
                (app.pause("x", choices=[3]), TypeError),  # type: ignore[list-item]
                (app.call(3), TypeError),  # type: ignore[arg-type]
                (app.pause("x", expires_in=1, expires_in_hours=1), ValueError),
                (app.pause("x", choices="yes"), TypeError),
                (app.pause("x", reviewers="ana"), TypeError),
                (app.pause("x", reviewers=[]), ValueError),
                (app.pause("x", reviewers=["ana"], stages=[Stage(["bo"])]), ValueError),
                (app.pause("x", required=1.5), TypeError),  # type: ignore[arg-type]
                (app.pause("x", stages=["@legal"]), TypeError),  # type: ignore[list-item]
                (app.pause("x", rejection="all"), ValueError),
                (app.pause("x", editable=1), TypeError),  # type: ignore[arg-type]
                (app.pause("x", reminders=[math.nan]), ValueError),
                (app.review_link("x", 3), TypeError),  # type: ignore[arg-type]
                (app.pause("x", payload=object()), countersign.PauseInvalidRequest),
                (app.call("a.b", 1, c=2), TypeError),
                (app.call("a.b", c=object()), TypeError),
            ):
                with self.assertRaises(exception):
                    await ask

        small = Agent("small")
        small.function(wrong)
        done = run(small, "wrong")
        self.assertIsNone(done.error)
        self.assertEqual(done.asks, [])

    def test_times_without_end_and_notes_of_anything(self) -> None:
        async def f() -> None:
            endless: list[Any] = []
            endless.append(endless)
            app.note("\ud800", endless=endless)
            await app.pause("x", expires_in_hours=math.inf)

        small = Agent("small")
        small.function(f)
        done = run(small, "f", answers=[approved()])
        self.assertEqual((done.error, done.log), (None, ["? endless=[[...]]"]))


class Coroutines(unittest.IsolatedAsyncioTestCase):
    async def test_a_test_that_is_a_coroutine_goes_on(self) -> None:
        self.assertEqual(run(app, "id_and_note").error, None)
        await asyncio.sleep(0.001)


class Testing(unittest.TestCase):
    def test_too_few_answers(self) -> None:
        with self.assertRaisesRegex(AssertionError, "no answer to ask 2: the pause 'draft'"):
            run(app, "publish", {"brief": "x"}, answers=["d"])

    def test_too_many_answers(self) -> None:
        with self.assertRaisesRegex(AssertionError, "1 answers are left"):
            run(app, "publish", {"brief": "x"}, answers=["d", rejected(), "more"])

    def test_answers_of_the_wrong_kind(self) -> None:
        with self.assertRaisesRegex(AssertionError, "the pause 'draft' is no review"):
            run(app, "publish", {"brief": "x"}, answers=["d", {}])
        with self.assertRaisesRegex(AssertionError, "cannot fail with"):
            run(app, "publish", {"brief": "x"}, answers=[countersign.CallDenied("x")])

    def test_one_decision_is_that_of_all_who_wait_for_it(self) -> None:
        async def both() -> Any:
            pause = asyncio.create_task(app.pause("x"))
            await asyncio.sleep(0)
            short = await app.wait_for_resume("x", timeout=1)
            again = await app.wait_for_resume("x")
            return [short.decision, again.decision, (await pause).decision]

        async def early() -> Any:
            return [(await app.wait_for_resume("x")).decision, (await app.pause("x")).decision]

        async def refused() -> Any:
            try:
                await app.pause("x")
            except countersign.PauseInvalidRequest:
                return (await app.pause("x")).decision

        small = Agent("small")
        for function in (both, early, refused):
            small.function(function)
        self.assertEqual(
            run(small, "both", answers=[after(10, rejected())]).result, ["expired", "rejected", "rejected"]
        )
        self.assertEqual(run(small, "early", answers=[approved()]).result, ["approved", "approved"])
        # A pause that was refused has not used up its id.
        refusal = countersign.PauseInvalidRequest("title")
        self.assertEqual(run(small, "refused", answers=[refusal, approved()]).result, "approved")

    def test_decisions_that_no_host_would_take(self) -> None:
        with self.assertRaisesRegex(AssertionError, "no reviewer can decide 'maybe': the choices are approved,"):
            run(app, "publish", {"brief": "x"}, answers=["d", decided("maybe")])
        with self.assertRaisesRegex(AssertionError, "has a form: 'good' needs a response"):
            run(app, "forms", answers=[decided("good")])

    def test_answers_from_a_function(self) -> None:
        def answer(ask: Any) -> Any:
            return {Ai: "d", Pause: approved(), Call: None}[type(ask)]

        self.assertEqual(run(app, "publish", {"brief": "x"}, answers=answer).result, {"status": "published"})
