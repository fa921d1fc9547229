"""`python -m unittest`, with the SDK installed."""

import unittest

from countersign.testing import approved, ask_json, expired, rejected, run

from app import app

BRIEF = {"brief": "Our spring sale"}


class PublishWithReview(unittest.TestCase):
    def test_both_agree(self) -> None:
        done = run(
            app,
            "publish_with_review",
            BRIEF,
            answers=["A draft.", approved(feedback="Shorter."), "Short.", approved(), {"url": "https://example.com"}],
        )
        self.assertEqual(done.result, {"status": "approved"})
        self.assertEqual(
            [ask_json(ask) for ask in done.asks],
            [
                {
                    "kind": "ai",
                    "messages": [
                        {"role": "system", "content": "You are a senior copywriter."},
                        {"role": "user", "content": "Our spring sale"},
                    ],
                },
                {
                    "kind": "pause",
                    "approval_request_id": "draft-review",
                    "approval_request_url": "https://cms.example.com/review/draft",
                    "expires_in_ms": 86_400_000,
                },
                {
                    "kind": "ai",
                    "messages": [
                        {"role": "system", "content": "Revise based on editorial feedback."},
                        {"role": "user", "content": "Draft: A draft.\nFeedback: Shorter."},
                    ],
                },
                {
                    "kind": "pause",
                    "approval_request_id": "final-approval",
                    "approval_request_url": "https://cms.example.com/review/final",
                    "expires_in_ms": 14_400_000,
                },
                {"kind": "call", "target": "publisher.publish", "input": '{"content":"Short."}'},
            ],
        )

    def test_the_editor_rejects(self) -> None:
        done = run(app, "publish_with_review", BRIEF, answers=["A draft.", rejected(feedback="No.")])
        self.assertEqual(done.result, {"status": "rejected", "feedback": "No."})

    def test_the_publisher_is_away(self) -> None:
        done = run(app, "publish_with_review", BRIEF, answers=["A draft.", approved(), "Final.", expired()])
        self.assertEqual(done.result, {"status": "expired"})
        self.assertEqual(len(done.asks), 4)
