"""What a type of the schema and its range allow: as a test, and in words."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin


def without_null(kind: Any) -> tuple[Any, bool]:
    """A type without its ``| None``, and whether it had one."""
    if not isinstance(kind, UnionType):
        return kind, False
    (inner,) = (each for each in get_args(kind) if each is not NoneType)
    return inner, True


def fits(kind: Any, limits: Mapping[str, Any], raw: Any) -> bool:
    """Whether a value has the type and lies in its range; what a container holds is not looked at.

    Args:
        kind: the type, without null.
        limits: the metadata of its field, see ``cmad.config.schema.bounded``.
        raw: the value as read.
    """
    if is_dataclass(kind) or get_origin(kind) is Mapping:
        return isinstance(raw, Mapping)
    if get_origin(kind) is tuple:
        return isinstance(raw, list | tuple)
    if get_origin(kind) is Literal:
        return raw in get_args(kind)
    if kind is int or kind is float:
        # Not isinstance: true and false are ints to Python.
        return type(raw) in (int, kind) and math.isfinite(raw) and _within(limits, raw)
    return kind is Any or type(raw) is kind


def allowed(kind: Any, limits: Mapping[str, Any]) -> str:
    """What a value may be, in words.

    Args:
        kind: the type, null or not.
        limits: the metadata of its field; a list's are those of its items.
    """
    inner, nullable = without_null(kind)
    if is_dataclass(inner):
        text = f"a section with {', '.join(field.name for field in fields(inner))}"
    elif get_origin(inner) is Mapping:
        text = "a section"
    elif get_origin(inner) is tuple:
        text = f"a list, each item {allowed(get_args(inner)[0], limits)}"
    elif get_origin(inner) is Literal:
        text = f"one of {', '.join(get_args(inner))}"
    else:
        plain = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}
        text = plain[inner] + _range(limits)
    return f"{text} or null" if nullable else text


def _within(limits: Mapping[str, Any], number: float) -> bool:
    low, high, above = (limits.get(name) for name in ("low", "high", "above"))
    return (
        (low is None or number >= low)
        and (high is None or number <= high)
        and (above is None or number > above)
    )


def _range(limits: Mapping[str, Any]) -> str:
    low, high, above = (limits.get(name) for name in ("low", "high", "above"))
    if low is not None and high is not None:
        return f" from {low} to {high}"
    bounds = (("above", above), ("at least", low), ("at most", high))
    return " and".join(f" {word} {bound}" for word, bound in bounds if bound is not None)
