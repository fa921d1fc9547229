"""From type hints to shapes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import inspect
import types
import typing
import uuid
from collections import abc
from collections.abc import Callable
from enum import Enum
from typing import Any

from countersign import models
from countersign.compounds import AnyOf, Described, Field, Keyed, Listed, Named, Record, Rowed
from countersign.shapes import MISSING, Anything, Choice, Misfit, Plain, Schema, Shape, Text, schema_of

PLAIN = (str, int, float, bool, type(None))

TEXTS: dict[Any, Text] = {
    dt.datetime: Text(dt.datetime, dt.datetime.fromisoformat, dt.datetime.isoformat, "date-time"),
    dt.date: Text(dt.date, dt.date.fromisoformat, dt.date.isoformat, "date"),
    dt.time: Text(dt.time, dt.time.fromisoformat, dt.time.isoformat, "time"),
    uuid.UUID: Text(uuid.UUID, uuid.UUID, str, "uuid"),
    decimal.Decimal: Text(decimal.Decimal, decimal.Decimal, str, None),
}

LISTS: dict[Any, type] = {
    list: list, set: set, frozenset: frozenset, abc.Sequence: list, abc.Iterable: list, abc.Collection: list,
    abc.MutableSequence: list, abc.Set: frozenset, abc.MutableSet: set,
}  # fmt: skip

DICTS = (dict, abc.Mapping, abc.MutableMapping)


def shape_of(hint: Any) -> Shape:
    """The shape of a type. `TypeError` if it has no JSON form."""
    return _shape(hint, {})


Seen = dict[Any, Named]
"""The classes, and the aliases, that the one at hand is part of."""


def _shape(hint: Any, seen: Seen) -> Shape:
    if hint is Any or hint is object or hint is inspect.Parameter.empty:
        return Anything()
    if hint is None:
        return Plain(type(None))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    # First of all: a note may be something that has no hash.
    if origin is typing.Annotated:
        return _annotated(hint, seen)
    if hint in PLAIN:
        return Plain(hint)
    if hint in TEXTS:
        return TEXTS[hint]
    if origin in (typing.Required, typing.NotRequired) or str(origin).endswith("ReadOnly"):
        return _shape(arguments[0], seen)
    if origin in (typing.Union, types.UnionType):
        return AnyOf([_shape(argument, seen) for argument in arguments])
    if origin is typing.Literal:
        return Choice([(value.value if isinstance(value, Enum) else value, value) for value in arguments])
    if hasattr(hint, "__supertype__"):
        return _shape(hint.__supertype__, seen)
    # `type X = …`
    if hasattr(hint, "__value__"):
        return _alias(hint, seen)
    return _container(hint, origin or hint, arguments, seen)


def _alias(alias: Any, seen: Seen) -> Shape:
    if alias in seen:
        seen[alias].is_recursive = True
        return seen[alias]
    named = Named(alias.__name__)
    named.shape = _shape(alias.__value__, seen | {alias: named})
    return named if named.is_recursive else named.shape


def _annotated(hint: Any, seen: Seen) -> Shape:
    shape = _shape(hint.__origin__, seen)
    for note in hint.__metadata__:
        text = note if isinstance(note, str) else getattr(note, "documentation", getattr(note, "description", None))
        if isinstance(text, str):
            return Described(shape, text)
    return shape


def _container(hint: Any, origin: Any, arguments: tuple[Any, ...], seen: Seen) -> Shape:
    if origin in LISTS:
        return Listed(LISTS[origin], _shape(arguments[0], seen) if arguments else Anything())
    if origin in DICTS:
        name, value = arguments or (str, Any)
        return Keyed(_key(name), _shape(value, seen))
    if origin is tuple:
        if not arguments and hint is tuple:
            return Listed(tuple, Anything())
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return Listed(tuple, _shape(arguments[0], seen))
        return Rowed([_shape(argument, seen) for argument in arguments])
    if isinstance(origin, type):
        return _class(origin, seen)
    raise TypeError(f"{hint!r} has no JSON form")


def _key(hint: Any) -> Shape:
    shape = shape_of(hint)
    if isinstance(shape, Named):
        shape = shape.shape
    if hint is Any or hint is str or isinstance(shape, Choice | Text):
        return Plain(str) if isinstance(shape, Anything) else shape
    raise TypeError(f"a dict with keys of type {hint!r} has no JSON form; its keys must be strings")


def _class(cls: type, seen: Seen) -> Shape:
    if cls in seen:
        seen[cls].is_recursive = True
        return seen[cls]
    named = Named(cls.__name__)
    seen = seen | {cls: named}
    if models.is_model(cls):
        return models.Model(cls)
    if issubclass(cls, Enum):
        named.shape = Choice([(_enum_value(member), member) for member in cls])
    elif dataclasses.is_dataclass(cls):
        named.shape = _dataclass(cls, seen)
    elif typing.is_typeddict(cls):
        named.shape = _typed_dict(cls, seen)
    elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
        hints = typing.get_type_hints(cls, include_extras=True)
        items = [_shape(hints.get(name, Any), seen) for name in cls._fields]
        named.shape = Rowed(items, lambda values: cls(*values))
    else:
        raise TypeError(f"{cls.__name__} has no JSON form; make it a dataclass, a TypedDict or a pydantic model")
    return named


def _enum_value(member: Enum) -> Any:
    if not isinstance(member.value, str | int | float | bool | None):
        raise TypeError(f"{member!r} has no JSON form; the values of an enum must be strings or numbers")
    return member.value


def _dataclass(cls: Any, seen: Seen) -> Record:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = []
    for part in dataclasses.fields(cls):
        if not part.init:
            continue
        default = part.default if part.default is not dataclasses.MISSING else MISSING
        required = default is MISSING and part.default_factory is dataclasses.MISSING
        shape = _shape(hints[part.name], seen)
        if isinstance(part.metadata.get("description"), str):
            shape = Described(shape, part.metadata["description"])
        fields.append(Field(part.name, shape, required, default))
    return Record(cls.__name__, fields, _maker(cls), cls, _written_doc(cls))


def _maker(cls: Any) -> Callable[[dict[str, Any]], Any]:
    def make(parts: dict[str, Any]) -> Any:
        try:
            return cls(**parts)
        # Its own `__post_init__` may refuse.
        except (ValueError, TypeError) as error:
            raise Misfit(str(error)) from error

    return make


def _written_doc(cls: Any) -> str | None:
    """A class' docstring, but not the one that `dataclass` makes up."""
    doc = cls.__doc__
    return None if doc is None or doc.startswith(f"{cls.__name__}(") else inspect.cleandoc(doc)


def _typed_dict(cls: Any, seen: Seen) -> Record:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = [Field(name, _shape(hint, seen), _is_required(cls, name, hint)) for name, hint in hints.items()]
    return Record(cls.__name__, fields, description=_written_doc(cls))


def _is_required(cls: Any, name: str, hint: Any) -> bool:
    """What the hint says. The class itself does not see it, where `from __future__ import annotations` stands."""
    while (origin := typing.get_origin(hint)) is not None:
        if origin in (typing.Required, typing.NotRequired):
            return origin is typing.Required
        if origin is not typing.Annotated and not str(origin).endswith("ReadOnly"):
            break
        hint = typing.get_args(hint)[0]
    return name in cls.__required_keys__


def parameters_of(function: Callable[..., Any], name: str) -> Record:
    """The shape of a function's input: an object with its parameters."""
    hints = _hints(function, name)
    fields, rest = [], None
    for parameter in inspect.signature(function).parameters.values():
        try:
            shape = shape_of(hints.get(parameter.name, Any))
        except TypeError as error:
            raise TypeError(f"parameter `{parameter.name}` of function `{name}`: {error}") from None
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = shape
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise TypeError(
                f"parameter `{parameter.name}` of function `{name}` cannot be given by its name; the input of a "
                "function is a JSON object, so its parameters must have names that a caller can use"
            )
        else:
            default = MISSING if parameter.default is parameter.empty else parameter.default
            fields.append(Field(parameter.name, shape, default is MISSING, default))
    return Record("the input", fields, rest=rest)


def result_of(function: Callable[..., Any], name: str) -> Shape:
    """The shape of a function's result."""
    try:
        return shape_of(_hints(function, name).get("return", Any))
    except TypeError as error:
        raise TypeError(f"the result of function `{name}`: {error}") from None


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"a type hint of function `{name}` cannot be looked up: {error}") from None


def schema_from(schema: Any, what: str) -> tuple[Schema, Shape]:
    """The JSON Schema that an author gave: as a dict, or as a type."""
    if isinstance(schema, dict):
        return schema, Anything()
    try:
        shape = shape_of(schema)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None
    return schema_of(shape), shape


UNTYPED = (dict, list, tuple, set, frozenset, bool, int, float, type(None))
"""What says little of its type: a list may be one of anything, and 50 euros may become 49.99."""


def form_from(schema: Any, edited: Any) -> tuple[Schema | None, Shape]:
    """The form that a reviewer fills in, if there is one, and how it is read.

    An edited value has the form of its type, if that is an author's own, or a string.
    """
    if schema is not None:
        return schema_from(schema, "response_schema")
    if edited is MISSING or type(edited) in UNTYPED:
        return None, Anything()
    try:
        shape = shape_of(type(edited))
    except TypeError:
        return None, Anything()
    written = schema_of(shape)
    return (written, shape) if written else (None, Anything())
