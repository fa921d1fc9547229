"""Pydantic models, and whatever has the same methods, without importing pydantic."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from countersign.shapes import Defs, Json, Misfit, Schema, kind


def is_model(cls: type) -> bool:
    """Whether it has the methods of a model of pydantic 2 or 1."""
    return (hasattr(cls, "model_json_schema") and hasattr(cls, "model_validate")) or (
        hasattr(cls, "parse_obj") and hasattr(cls, "schema")
    )


@dataclass
class Model:
    cls: Any

    def schema(self, defs: Defs) -> Schema:
        if hasattr(self.cls, "model_json_schema"):
            schema: Schema = dict(self.cls.model_json_schema())
            own = schema.pop("$defs", {})
        else:
            # Pydantic 1 refers to `#/definitions/…`.
            text = json.dumps(self.cls.schema()).replace('"#/definitions/', '"#/$defs/')
            schema = json.loads(text)
            own = schema.pop("definitions", {})
        for name, definition in own.items():
            if defs.setdefault(name, definition) != definition:
                raise TypeError(f"two models are called {name}; rename one of them")
        return schema

    def read(self, value: Json) -> Any:
        validate = getattr(self.cls, "model_validate", None) or self.cls.parse_obj
        try:
            return validate(value)
        # pydantic's ValidationError is a ValueError in both of its versions.
        except ValueError as error:
            raise _misfit(error) from error

    def write(self, value: Any) -> Json:
        if not isinstance(value, self.cls):
            raise Misfit(f"{kind(value)}, but {self.cls.__name__} is wanted")
        if hasattr(value, "model_dump"):
            return value.model_dump(mode="json", by_alias=True)
        return json.loads(value.json(by_alias=True))


def _misfit(error: Any) -> Misfit:
    try:
        first = error.errors()[0]
        return Misfit(str(first["msg"]), tuple(first["loc"]))
    except (AttributeError, LookupError, TypeError):
        return Misfit(str(error))
