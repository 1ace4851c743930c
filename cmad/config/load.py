"""``params.yaml`` to a ``Config``, strictly: whatever the schema does not know is refused.

Every problem of a file is reported, not only the first. So a value that is refused leaves the hole
``INVALID`` in its record, the rules across fields step over holes, and the records are given out
only if there was no problem.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cmad.config.schema import Config, Evaluate, Generator, Network, PerModality, Preprocess, Student, Text
from cmad.config.yaml12 import read_yaml
from cmad.errors import UserError

# Table rows that no variant makes: the constant predictor and the best possible one.
RESERVED = ("constant", "ceiling")


class _Hole(Enum):
    """An enum, because its members survive the copies that ``asdict`` makes."""

    INVALID = "refused"


INVALID = _Hole.INVALID


def load(path: Path) -> Config:
    """Read and check a parameter file.

    Returns:
        The configuration; mappings are read-only, lists are tuples.

    Raises:
        UserError: one line per problem, each with the file, the full dotted key, the value and
            what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give another path") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    return check(read_yaml(text, str(path)), str(path))


def check(raw: Any, where: str) -> Config:
    """Check a parsed parameter file.

    Args:
        raw: what ``read_yaml`` gives.
        where: what error messages call the file.

    Raises:
        UserError: as ``load``.
    """
    problems: list[str] = []
    config = _value(Config, {}, raw, "", problems)
    if problems:
        raise UserError("\n".join(f"{where}: {problem}" for problem in problems))
    assert isinstance(config, Config)
    return config


def override(student: Student, changes: Mapping[str, Any]) -> Student:
    """Change some knobs of a student section.

    Args:
        student: the section of a preset.
        changes: a variant's nested mapping, e.g. ``{"optimiser": {"clip": None}}``.

    Raises:
        UserError: an unknown key or a value that is not allowed, one line per problem.
    """
    problems: list[str] = []
    changed = _value(Student, {}, _merged(asdict(student), changes), "student", problems)
    if problems:
        raise UserError("\n".join(problems))
    assert isinstance(changed, Student)
    return changed


def nearest(name: object, known: Iterable[object]) -> str:
    """The hint of an error message about an unknown name: the known one most like it, or all."""
    names = [_join("", each) for each in known]
    close = difflib.get_close_matches(str(name).lower(), names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names) or 'none'}"


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(changes, Mapping):
        return changes
    if isinstance(base, Mapping):
        return {**base, **{name: _merged(base.get(name), change) for name, change in changes.items()}}
    # A refused section stays refused: part of one cannot stand for the whole.
    return base if base is INVALID else changes


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(each) for name, each in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


# Values against types


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _without_null(kind: Any) -> tuple[Any, bool]:
    """A type without its ``| None``, and whether it had one."""
    if not isinstance(kind, UnionType):
        return kind, False
    (inner,) = (each for each in get_args(kind) if each is not NoneType)
    return inner, True


def _value(kind: Any, limits: Mapping[str, Any], raw: Any, key: str, problems: list[str]) -> Any:
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
    inner, nullable = _without_null(kind)
    if raw is INVALID or (raw is None and nullable):
        return raw
    if not _fits(inner, limits, raw):
        hint = f"; {nearest(raw, get_args(inner))}" if get_origin(inner) is Literal else ""
        problems.append(f"{key or 'the file'} = {_show(raw)}: must be {_allowed(kind, limits)}{hint}")
        return INVALID
    if is_dataclass(inner):
        return _record(inner, raw, key, problems)
    if get_origin(inner) is tuple:
        item = get_args(inner)[0]
        return tuple(_value(item, limits, each, f"{key}[{i}]", problems) for i, each in enumerate(raw))
    if get_origin(inner) is Mapping:
        item = get_args(inner)[1]
        return MappingProxyType(
            {name: _value(item, {}, each, _join(key, name), problems) for name, each in raw.items()}
        )
    return float(raw) if inner is float else _frozen(raw)


def _record(kind: Any, raw: Mapping[Any, Any], key: str, problems: list[str]) -> Any:
    hints = _hints(kind)
    for name in raw:
        if name not in hints:
            unknown = f"{_join(key, name)} = {_show(raw[name])}"
            problems.append(f"{unknown}: unknown key; {nearest(name, hints)}")
    values: dict[str, Any] = dict.fromkeys(hints, INVALID)
    for field in fields(kind):
        full = _join(key, field.name)
        if field.name in raw:
            values[field.name] = _value(hints[field.name], field.metadata, raw[field.name], full, problems)
        else:
            problems.append(f"{full}: missing; must be {_allowed(hints[field.name], field.metadata)}")
    record = kind(**values)
    if kind in _RULES:
        problems.extend(_RULES[kind](record, key))
    return record


def _fits(kind: Any, limits: Mapping[str, Any], raw: Any) -> bool:
    """Whether a value has the type and lies in its range; what a container holds is not looked at."""
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


def _within(limits: Mapping[str, Any], number: float) -> bool:
    low, high, above = (limits.get(name) for name in ("low", "high", "above"))
    return (
        (low is None or number >= low)
        and (high is None or number <= high)
        and (above is None or number > above)
    )


def _allowed(kind: Any, limits: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    inner, nullable = _without_null(kind)
    if is_dataclass(inner):
        text = f"a section with {', '.join(field.name for field in fields(inner))}"
    elif get_origin(inner) is Mapping:
        text = "a section"
    elif get_origin(inner) is tuple:
        text = f"a list, each item {_allowed(get_args(inner)[0], limits)}"
    elif get_origin(inner) is Literal:
        text = f"one of {', '.join(get_args(inner))}"
    else:
        plain = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}
        text = plain[inner] + _range(limits)
    return f"{text} or null" if nullable else text


def _range(limits: Mapping[str, Any]) -> str:
    low, high, above = (limits.get(name) for name in ("low", "high", "above"))
    if low is not None and high is not None:
        return f" from {low} to {high}"
    bounds = (("above", above), ("at least", low), ("at most", high))
    return " and".join(f" {word} {bound}" for word, bound in bounds if bound is not None)


def _join(key: str, name: object) -> str:
    # Quoted keys may hold anything, line breaks and dots too.
    text = str(name)
    if not re.fullmatch(r"[\w-]+", text, re.ASCII):
        text = json.dumps(text)
    return f"{key}.{text}" if key else text


def _show(value: Any) -> str:
    """A value on one line, cut to a length that can be read."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


# Rules across fields


def _check_preprocess(preprocess: Preprocess, key: str) -> list[str]:
    problems = []
    if preprocess.format == "demo" and preprocess.generator is None:
        problems.append(f"{key}.generator = null: format demo needs {_allowed(Generator, {})}")
    if preprocess.format == "demo" and isinstance(preprocess.text, Text):
        problems.append(f"{key}.text: must be null for format demo, whose language comes as features")
    if preprocess.format == "folder" and isinstance(preprocess.generator, Generator):
        problems.append(f"{key}.generator: must be null for format folder, which generates nothing")
    return problems


def _check_network(network: Network, key: str) -> list[str]:
    problems = []
    width, heads, dropout = network.width, network.heads, network.perceiver_dropout
    if isinstance(width, int) and isinstance(heads, int) and width % heads:
        problems.append(f"{key}.width = {width}: must be a multiple of heads = {heads}")
    if isinstance(network.kernels, PerModality):
        for modality, size in vars(network.kernels).items():
            if isinstance(size, int) and size % 2 == 0:
                problems.append(f"{key}.kernels.{modality} = {size}: must be odd")
    if isinstance(dropout, float) and dropout != 0:
        problems.append(
            f"{key}.perceiver_dropout = {dropout}: must be 0; a sample's absent modality is one shared"
            " token; dropout inside the Perceiver would make that untrue"
        )
    return problems


def _check_evaluate(evaluate: Evaluate, key: str) -> list[str]:
    problems = []
    if not isinstance(evaluate.drop_ratios, tuple):
        return problems
    ratios = [ratio for ratio in evaluate.drop_ratios if isinstance(ratio, float)]
    if 0.0 in ratios:
        problems.append(f"{key}.drop_ratios: 0 is not allowed, nothing would be dropped; must be above 0")
    if ratios != sorted(set(ratios)):
        problems.append(f"{key}.drop_ratios = {_show(ratios)}: must be sorted, each ratio once")
    return problems


def _check_config(config: Config, _: str) -> list[str]:
    return [
        *_check_grid("datasets", config.datasets),
        *_check_known("datasets", config.datasets, config.presets, "preset"),
        *_check_grid("variants", config.variants),
        *_check_known("variants", config.variants, config.definitions, "definition"),
        *_check_grid("seeds", config.seeds),
        *_check_names("definitions", config.definitions),
        *_check_names("presets", config.presets),
        *_check_reserved(config.definitions),
        *_check_overrides(config),
    ]


def _check_grid(key: str, values: Any) -> list[str]:
    if not isinstance(values, tuple):
        return []
    if not values:
        return [f"{key} = []: must not be empty"]
    valid = [value for value in values if value is not INVALID]
    repeated = [value for value in dict.fromkeys(valid) if valid.count(value) > 1]
    return [f"{key} = {_show(valid)}: {_show(value)} stands more than once" for value in repeated]


def _check_known(key: str, names: Any, known: Any, what: str) -> list[str]:
    if not isinstance(names, tuple) or not isinstance(known, Mapping):
        return []
    return [
        f"{key}[{i}] = {_show(name)}: there is no such {what}; {nearest(name, known)}"
        for i, name in enumerate(names)
        if isinstance(name, str) and name not in known
    ]


def _check_names(key: str, section: Any) -> list[str]:
    if not isinstance(section, Mapping):
        return []
    return [
        f"{_join(key, name)}: this name becomes a folder's; it must be a text of a-z, 0-9 and _ alone"
        for name in section
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_]+", name)
    ]


def _check_reserved(definitions: Any) -> list[str]:
    if not isinstance(definitions, Mapping):
        return []
    return [
        f"definitions.{name}: this name is reserved for a row of the tables; choose another"
        for name in RESERVED
        if name in definitions
    ]


def _check_overrides(config: Config) -> list[str]:
    """Each definition must fit each preset; a problem of several pairs is one problem."""
    if not isinstance(config.definitions, Mapping) or not isinstance(config.presets, Mapping):
        return []
    students = [getattr(preset, "student", INVALID) for preset in config.presets.values()]
    problems: list[str] = []
    for name, definition in config.definitions.items():
        changes = getattr(definition, "student", INVALID)
        for student in students:
            if isinstance(student, Student) and isinstance(changes, Mapping):
                key = f"{_join('definitions', name)}.student"
                _value(Student, {}, _merged(asdict(student), changes), key, problems)
    return list(dict.fromkeys(problems))


_RULES: Mapping[type, Callable[[Any, str], list[str]]] = {
    Preprocess: _check_preprocess,
    Network: _check_network,
    Evaluate: _check_evaluate,
    Config: _check_config,
}
