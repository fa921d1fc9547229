"""Writes durable AI agents in Python.

An agent's functions may wait for people, models and other agents, for as long as it takes: the host keeps every answer,
and runs a function again from its start to where it was. See the README for everything that holds inside.
"""

from countersign.agent import Agent
from countersign.approval import Escalation, Stage
from countersign.errors import (
    AiBudgetExhausted,
    AiError,
    AiInvalidOutput,
    AiRateLimited,
    AiRefused,
    AiUnavailable,
    CallCancelled,
    CallDenied,
    CallError,
    CallFailed,
    CallNotFound,
    CallUnavailable,
    Error,
    PauseError,
    PauseInvalidRequest,
)
from countersign.review import Review, Vote

__all__ = [
    "Agent",
    "AiBudgetExhausted",
    "AiError",
    "AiInvalidOutput",
    "AiRateLimited",
    "AiRefused",
    "AiUnavailable",
    "CallCancelled",
    "CallDenied",
    "CallError",
    "CallFailed",
    "CallNotFound",
    "CallUnavailable",
    "Error",
    "Escalation",
    "PauseError",
    "PauseInvalidRequest",
    "Review",
    "Stage",
    "Vote",
]
