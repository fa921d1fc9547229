"""Functions that ask nobody, or a model."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from countersign import AiInvalidOutput, Error

from bed import app


@app.function()
async def echo(**input: Any) -> Any:
    """Returns its input."""
    return input


@app.function()
def plain() -> str:
    """Is no coroutine."""
    return "done"


@app.function()
async def fail() -> None:
    """Fails with the code `refused`."""
    raise Error("refused", "this function always fails")


@app.function()
async def many_ai(n: int = 3) -> dict[str, Any]:
    """Asks `tick 0`, `tick 1` and so on, one after the other."""
    last = None
    for i in range(n):
        last = await app.ai(f"tick {i}")
    return {"n": n, "last": last}


@dataclass
class Headline:
    """A headline and how good it is."""

    text: Annotated[str, "at most ten words"]
    stars: Literal[1, 2, 3]
    tags: list[str]


@app.function()
async def structured(topic: str = "spring") -> Headline | str:
    """Asks for an object, and returns it; or why what came is none."""
    try:
        headline: Headline = await app.ai(f"A headline about {topic}", schema=Headline)
    except AiInvalidOutput as error:
        return error.message
    assert isinstance(headline, Headline)
    return headline
