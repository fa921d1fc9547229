"""What a host takes of a decision, and what the agent is told of it, for the host of unit tests."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from countersign.approval import Stage
from countersign.asks import Ballot, Decision, Pause
from countersign.fake_pause import CHOICES, is_closed
from countersign.review import Review, Vote
from countersign.shapes import Anything, Json, dumps

REFUSALS = ("rejected", "request_changes")
"""The choices that say no. They need no response."""

SOMEBODY = "somebody"
"""Who decided where a reviewer must have a name, if the test gives none."""

REFERENCES_MAX = 64
"""How many references are followed from one to the next."""


class Untakeable(Exception):
    """No host would take this decision; the message says why."""


def decide(ask: Pause, given: Review) -> Decision:
    """The decision that a review of the test is, without its times; or `Untakeable`."""
    if not ask.stages and not ask.forbid_self_approval:
        if given.votes:
            raise Untakeable("there are votes, but the pause does not say who decides")
        return _take(ask, given)
    votes = _count(ask, given) if given.votes else (_sole_vote(ask, given),)
    last = votes[-1]
    return Decision(last.decision, last.feedback, last.response, last.reviewer, 0, votes)


def time_out(ask: Pause | None) -> Decision:
    """What nobody decided in time."""
    if ask is None or ask.default_decision is None:
        return Decision("expired", None, None, None, 0)
    return Decision(ask.default_decision, None, _completed(ask, ask.default_decision, None), None, 0)


def _take(ask: Pause, given: Review | Vote) -> Decision:
    choices = ask.choices or CHOICES
    if given.decision not in choices:
        raise Untakeable(f"no reviewer can decide {given.decision!r}: the choices are {', '.join(choices)}")
    if given.decision in ask.feedback_required and not (given.feedback or "").strip():
        raise Untakeable(f"the decision {given.decision!r} needs feedback")
    text = None if given.response is None else dumps(Anything().write(given.response))
    response = _completed(ask, given.decision, text)
    if response is None and ask.response_schema is not None and given.decision not in REFUSALS:
        raise Untakeable(f"it has a form: {given.decision!r} needs a response")
    return Decision(given.decision, given.feedback, response, given.reviewer, 0)


def _sole_vote(ask: Pause, given: Review) -> Ballot:
    """One decision that stands for everybody's."""
    stage = 0 if given.decision in REFUSALS else max(len(ask.stages) - 1, 0)
    return _ballot(_take(ask, given), stage)


def _ballot(taken: Decision, stage: int) -> Ballot:
    return Ballot(taken.reviewer or SOMEBODY, False, stage, taken.decision, taken.feedback, taken.response, 0)


def _count(ask: Pause, given: Review) -> tuple[Ballot, ...]:
    """The votes that the test gives, if they lead to its decision."""
    if given.feedback is not None or given.response is not None or given.reviewer is not None:
        raise Untakeable("a review with votes has nothing else: feedback, response and reviewer are the last vote's")
    count = _Count(ask)
    votes = tuple(count.add(vote) for vote in given.votes)
    outcome = count.outcome
    # When a majority of a group refuses, only a host knows; the test is believed.
    if outcome is None and votes[-1].decision in REFUSALS and count.eligible() is None:
        outcome = votes[-1].decision
    if outcome != given.decision:
        come = "nothing yet" if outcome is None else repr(outcome)
        raise Untakeable(f"the votes do not lead to {given.decision!r}, but to {come}")
    return votes


ANYONE = 2**64
"""How many people a stage asks that names nobody."""


class _Count:
    """How far the votes have come."""

    def __init__(self, ask: Pause) -> None:
        self.ask = ask
        self.stages = ask.stages or (Stage(),)
        self.stage = 0
        self.here: Counter[str] = Counter()
        self.voted: list[tuple[int, str]] = []
        self.outcome: str | None = None

    def add(self, given: Vote) -> Ballot:
        reviewer, stage = given.reviewer, self.stage
        if not reviewer:
            raise Untakeable("a vote has no reviewer")
        if self.outcome is not None:
            raise Untakeable(f"it was decided before {reviewer} voted")
        if reviewer.lower() in (name for _, name in self.voted):
            raise Untakeable(f"{reviewer} votes twice")
        if not self._is_asked(reviewer):
            raise Untakeable(f"{reviewer} is not asked at stage {stage}")
        taken = _take(self.ask, given)
        eligible, required = self.eligible(), self.stages[stage].required
        self.voted.append((stage, reviewer.lower()))
        self.here[taken.decision] += 1
        if taken.decision in REFUSALS:
            self.outcome = taken.decision if self._is_refused(eligible, required) else None
        elif self.here[taken.decision] >= required:
            self.here.clear()
            self.stage += 1
            self.outcome = taken.decision if self.stage == len(self.stages) else None
        return _ballot(taken, stage)

    def _is_refused(self, eligible: int | None, required: int) -> bool:
        refusals = sum(self.here[choice] for choice in REFUSALS)
        if self.ask.rejection == "first":
            return True
        if eligible is None:
            return False
        if eligible == ANYONE:
            return refusals >= required
        return refusals * 2 > eligible or eligible < refusals + required

    def _later(self) -> list[str]:
        """Whom escalations ask, too."""
        return [name for escalation in self.ask.escalations for name in escalation.reviewers]

    def _is_asked(self, reviewer: str) -> bool:
        names = self.stages[self.stage].reviewers
        return names is None or any(
            name.startswith("@") or name.lower() == reviewer.lower() for name in [*names, *self._later()]
        )

    def eligible(self) -> int | None:
        """How many the stage asks of those who have not voted before it; None if that takes knowing a group."""
        if self.stage == len(self.stages) or self.stages[self.stage].reviewers is None:
            return ANYONE
        if self._later() or not is_closed(self.stages[self.stage]):
            return None
        earlier = [name for stage, name in self.voted if stage < self.stage]
        return sum(name.lower() not in earlier for name in self.stages[self.stage].reviewers or ())


def _completed(ask: Pause, decision: str, response: str | None) -> str | None:
    """The response that the agent is given: as it was approved, or with what the form has by default."""
    if response is None and decision in REFUSALS:
        return None
    given = ask.payload if response is None and ask.editable else response
    if ask.response_schema is None:
        return given
    schema = json.loads(ask.response_schema)
    if given is not None:
        document = json.loads(given)
        _fill(schema, schema, document)
        return dumps(document)
    if "default" in (form := _resolved(schema, schema)):
        return dumps(form["default"])
    empty: dict[str, Json] = {}
    # A form that nobody fills in holds what it has by default, if that is all that it must hold.
    is_complete = _fill(schema, schema, empty) and set(form.get("required", ())) <= empty.keys()
    return dumps(empty) if is_complete else None


def _fill(root: Json, schema: Json, document: Json) -> bool:
    """Adds the schema's defaults where the document has nothing; says whether there were any."""
    properties = _resolved(root, schema).get("properties")
    if not isinstance(properties, dict) or not isinstance(document, dict):
        return False
    is_filled = False
    for name, part in properties.items():
        if name in document:
            is_filled |= _fill(root, part, document[name])
        elif "default" in (resolved := _resolved(root, part)):
            document[name] = resolved["default"]
            is_filled = True
    return is_filled


def _resolved(root: Json, schema: Json) -> dict[str, Json]:
    """The schema that a reference leads to. What stands beside the reference comes first."""
    for _ in range(REFERENCES_MAX):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if "default" in schema or "properties" in schema or not isinstance(reference, str):
            return schema
        target = root
        for step in reference.removeprefix("#").split("/")[1:]:
            target = target.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, dict) else {}
        schema = target
    return {}


def timed(decision: Decision, millis: int) -> Decision:
    """The decision as it was taken then."""
    votes = tuple(replace(vote, voted_at_ms=millis) for vote in decision.votes)
    return replace(decision, decided_at_ms=millis, votes=votes)
