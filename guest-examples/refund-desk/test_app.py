import unittest

from countersign import CallDenied
from countersign.testing import Run, approved, decided, rejected, run

from app import STEPS_MAX, app

ORDER = {"order": "A7"}
REFUND = {"order": "A7", "cents": 4900}


def step(tool: str, **parameters: object) -> dict[str, object]:
    return {"reason": f"now {tool}", "tool": tool, "input": parameters}


def handle(*answers: object) -> Run:
    return run(app, "handle", {"message": "My tent A7 leaks."}, answers=list(answers))


class Handle(unittest.TestCase):
    def test_it_pays_once_a_person_agrees(self) -> None:
        ran = handle(
            step("find_order", **ORDER), {"cents": 4900}, step("refund", **REFUND), approved(), {}, step("done")
        )
        self.assertEqual([ask.kind for ask in ran.asks], ["ai", "call", "ai", "pause", "call", "ai"])
        self.assertEqual(
            ran.result,
            {"done": ['find_order {"order": "A7"}', 'refund {"order": "A7", "cents": 4900}'], "summary": "now done"},
        )

    def test_a_refusal_is_told_to_the_model(self) -> None:
        ran = handle(step("refund", **REFUND), rejected(feedback="Offer a repair."), step("done"))
        self.assertEqual([ask.kind for ask in ran.asks], ["ai", "pause", "ai"])
        self.assertIn("Offer a repair.", ran.asks[2].messages[-1].content)
        self.assertEqual(ran.result["done"], [])

    def test_what_a_person_changed_is_what_is_done(self) -> None:
        half = {"order": "A7", "cents": 2450}
        ran = handle(step("refund", **REFUND), decided("approved", response=half), {}, step("done"))
        self.assertEqual(ran.result["done"], ['refund {"order": "A7", "cents": 2450}'])

    def test_a_tool_that_fails_is_told_to_the_model(self) -> None:
        ran = handle(step("find_order", **ORDER), CallDenied("not yours"), step("done"))
        self.assertIn("not yours", ran.asks[2].messages[-1].content)

    def test_it_gives_up_after_too_many_steps(self) -> None:
        ran = handle(*[step("find_order", **ORDER), {}] * STEPS_MAX)
        self.assertEqual(ran.error["code"], "too_many_steps")


if __name__ == "__main__":
    unittest.main()
