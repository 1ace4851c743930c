"""Raw values against the types of the schema, whole sections with their rules."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cmad.config.holes import INVALID
from cmad.config.kinds import allowed, fits, without_null
from cmad.config.names import dotted, nearest, shown
from cmad.config.rules import check_section


def check_value(kind: Any, limits: Mapping[str, Any], raw: Any, key: str, problems: list[str]) -> Any:
    """Check one value against its type in the schema.

    Args:
        kind: the type.
        limits: the metadata of its field; a list's are those of its items.
        raw: the value as read.
        key: its full dotted key.
        problems: where to add a line for each problem found.

    Returns:
        The value as the type wants it, or ``INVALID``.
    """
    inner, nullable = without_null(kind)
    if raw is INVALID or (raw is None and nullable):
        return raw
    if not fits(inner, limits, raw):
        hint = f"; {nearest(raw, get_args(inner))}" if get_origin(inner) is Literal else ""
        problems.append(f"{key or 'the file'} = {shown(raw)}: must be {allowed(kind, limits)}{hint}")
        return INVALID
    if is_dataclass(inner):
        return _record(inner, raw, key, problems)
    if get_origin(inner) is tuple:
        item = get_args(inner)[0]
        return tuple(check_value(item, limits, each, f"{key}[{i}]", problems) for i, each in enumerate(raw))
    if get_origin(inner) is Mapping:
        item = get_args(inner)[1]
        return MappingProxyType(
            {name: check_value(item, {}, each, dotted(key, name), problems) for name, each in raw.items()}
        )
    return float(raw) if inner is float else _frozen(raw)


def _record(kind: Any, raw: Mapping[Any, Any], key: str, problems: list[str]) -> Any:
    hints = _hints(kind)
    for name in raw:
        if name not in hints:
            unknown = f"{dotted(key, name)} = {shown(raw[name])}"
            problems.append(f"{unknown}: unknown key; {nearest(name, hints)}")
    values: dict[str, Any] = dict.fromkeys(hints, INVALID)
    for field in fields(kind):
        full = dotted(key, field.name)
        if field.name in raw:
            values[field.name] = check_value(
                hints[field.name], field.metadata, raw[field.name], full, problems
            )
        else:
            problems.append(f"{full}: missing; must be {allowed(hints[field.name], field.metadata)}")
    record = kind(**values)
    problems.extend(check_section(record, key))
    return record


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(each) for name, each in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
