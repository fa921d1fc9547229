"""What an agent sees of the world besides answers: time and chance."""

import os
import random
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Any


def clocks(start: float) -> dict[str, Any]:
    """Every clock that CPython has. `start` is what the monotonic one showed first."""
    return {
        "wall_ms": time.time_ns() // 1_000_000,
        "mono_ns": round((time.monotonic() - start) * 1e9),
        "perf_ns": time.perf_counter_ns(),
        "now": datetime.now(UTC),
    }


def chance() -> dict[str, Any]:
    """Every source of chance that CPython has."""
    return {
        "random": random.random(),
        "shuffled": random.sample(range(20), 20),
        "uuid": uuid.uuid4(),
        "token": secrets.token_hex(8),
        "bytes": os.urandom(8).hex(),
    }


def set_order() -> list[str]:
    """Some words in the order in which a set has them."""
    return list({f"word {i}" for i in range(20)} | {str(uuid.UUID(int=i)) for i in range(5)})


class Thing:
    """Hashed by its address."""

    def __init__(self, number: int) -> None:
        self.number = number


def address_order() -> list[int]:
    """Objects in the order in which a set of them has them."""
    return [thing.number for thing in {Thing(i) for i in range(20)}]
