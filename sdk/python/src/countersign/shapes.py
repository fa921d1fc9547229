"""What a value looks like as JSON: its JSON Schema, how it is read and checked, and how it is written.

`hints` makes shapes from type hints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from countersign.errors import sound

Json = Any
Schema = dict[str, Any]
Defs = dict[str, Schema]

MISSING: Any = object()
"""The default of what has none."""


class Misfit(Exception):
    """A value is not of a shape. `path` leads to the place: names and numbers, outermost first."""

    def __init__(self, why: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(why, path)
        self.why = why
        self.path = path

    def within(self, step: str | int) -> Misfit:
        return Misfit(self.why, (step, *self.path))

    def __str__(self) -> str:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")
        return f"`{place}`: {self.why}" if place else self.why


class Shape(Protocol):
    """A shape of JSON, and the Python values that it stands for."""

    def schema(self, defs: Defs) -> Schema:
        """Its JSON Schema; definitions that it refers to go into `defs`."""

    def read(self, value: Json) -> Any:
        """The Python value, or `Misfit`."""

    def write(self, value: Any) -> Json:
        """The JSON of a Python value, or `Misfit` if it is not of this shape."""


def kind(value: Any) -> str:
    """What a value is, in the words of JSON where there are any."""
    words: dict[type, str] = {
        type(None): "null", bool: "a boolean", int: "an integer", float: "a number", str: "a string",
        list: "an array", dict: "an object",
    }  # fmt: skip
    return words.get(type(value), f"a {type(value).__name__}")


def one_of(values: Iterable[Any]) -> str:
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)


class Anything:
    """Any JSON. Written, it may be any value that has an obvious JSON form."""

    def schema(self, defs: Defs) -> Schema:
        return {}

    def read(self, value: Json) -> Any:
        return value

    def write(self, value: Any) -> Json:
        # `hints` is made of this module.
        from countersign.hints import shape_of

        if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
            return Plain(type(value)).write(value)
        if isinstance(value, Mapping):
            return {
                at(str(name), Plain(str).write, name): at(str(name), self.write, item) for name, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [at(index, self.write, item) for index, item in enumerate(value)]
        try:
            shape = shape_of(type(value))
        except TypeError:
            shape = self
        # A bare `object` is of a type that stands for anything, and is nothing.
        if shape is self or isinstance(shape, Anything):
            raise Misfit(f"{kind(value)} has no JSON form")
        return shape.write(value)


@dataclass
class Plain:
    """A string, an integer, a number, a boolean or null."""

    cls: type[Any]

    NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    WORDS = {str: "a string", int: "an integer", float: "a number", bool: "a boolean", type(None): "null"}

    def schema(self, defs: Defs) -> Schema:
        return {"type": self.NAMES[self._base()]}

    def read(self, value: Json) -> Any:
        if type(value) is self.cls:
            return value
        if self.cls is float and type(value) is int:
            return float(value)
        # In JSON 3.0 is the same number as 3.
        if self.cls is int and type(value) is float and value.is_integer():
            return int(value)
        raise Misfit(f"{kind(value)}, but {self.WORDS[self._base()]} is wanted")

    def write(self, value: Any) -> Json:
        base = self._base()
        wanted = (int, float) if base is float else base
        if not isinstance(value, wanted) or (isinstance(value, bool) and base is not bool):
            raise Misfit(f"{kind(value)}, but {self.WORDS[base]} is wanted")
        if isinstance(value, float) and not _is_finite(value):
            raise Misfit(f"{value} has no JSON form")
        if isinstance(value, str):
            return sound(str(value)) if value.isascii() is False else str(value)
        return value

    def _base(self) -> type:
        return next(base for base in (bool, int, float, str, type(None)) if issubclass(self.cls, base))


@dataclass
class Text:
    """A value of another type that is a string in JSON, such as a date."""

    cls: type[Any]
    parse: Callable[[str], Any]
    print: Callable[[Any], str]
    format: str | None

    def schema(self, defs: Defs) -> Schema:
        return {"type": "string", "format": self.format} if self.format else {"type": "string"}

    def read(self, value: Json) -> Any:
        if not isinstance(value, str):
            raise Misfit(f"{kind(value)}, but a string is wanted")
        try:
            return self.parse(value)
        except (ValueError, ArithmeticError):
            raise Misfit(f"{one_of([value])} is no {self.format or self.cls.__name__}") from None

    def write(self, value: Any) -> Json:
        # A datetime is a date, for Python.
        if not isinstance(value, self.cls) or (self.format == "date" and hasattr(value, "hour")):
            raise Misfit(f"{kind(value)}, but a {self.cls.__name__} is wanted")
        return self.print(value)


@dataclass
class Choice:
    """One of some values: the members of an enum, or those of a `Literal`."""

    values: list[tuple[Json, Any]]

    def schema(self, defs: Defs) -> Schema:
        return {"enum": [value for value, _ in self.values]}

    def read(self, value: Json) -> Any:
        for known, member in self.values:
            # In JSON 3.0 is the same number as 3, but true is not 1.
            if known == value and (type(known) is type(value) or {type(known), type(value)} == {int, float}):
                return member
        shown = one_of([value]) if isinstance(value, str | int | float | bool | None) else kind(value)
        raise Misfit(f"{shown} is none of {one_of(known for known, _ in self.values)}")

    def write(self, value: Any) -> Json:
        for known, member in self.values:
            if type(member) is type(value) and member == value:
                return known
        raise Misfit(f"{value!r} is none of {one_of(known for known, _ in self.values)}")


def at(step: str | int, work: Callable[[Any], Any], value: Any) -> Any:
    try:
        return work(value)
    except Misfit as misfit:
        raise misfit.within(step) from None


def _is_finite(value: float) -> bool:
    return value - value == 0


def dumps(value: Json) -> str:
    """Compact JSON, without escapes that UTF-8 does not need: the same bytes as the other SDKs write."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def schema_of(shape: Shape) -> Schema:
    """Its whole JSON Schema (2020-12); `{}` for any JSON."""
    defs: Defs = {}
    schema = shape.schema(defs)
    return schema | {"$defs": defs} if defs else schema
