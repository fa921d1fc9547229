"""Runs the agent without a host: the test gives the answers."""

import unittest

from app import app
from countersign.testing import approved, run


class AnnounceTest(unittest.TestCase):
    def test_an_approved_draft_is_returned(self) -> None:
        done = run(app, "announce", {"brief": "Night trains"}, answers=["All aboard!", approved()])
        self.assertEqual(done.result, {"status": "approved", "text": "All aboard!"})
        self.assertEqual(done.asks[1].title, "Publish this?")


if __name__ == "__main__":
    unittest.main()
