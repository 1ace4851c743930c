"""Rules of the grid, and of the names of what it is made of."""

from collections.abc import Mapping
from typing import Any

from cmad.config.holes import INVALID
from cmad.config.lists import check_no_repeats, check_not_empty
from cmad.config.names import check_folder_names, nearest, shown
from cmad.config.schema import Also, Config
from cmad.config.sweeps import check_sweeps, check_values

# The variant that sweeps change, and that all others are compared with.
REFERENCE = "cmad"

# Table rows that no variant makes: the constant predictor and the best possible one. And names that
# a CSV reader takes for a missing value.
RESERVED = ("constant", "ceiling", "nan", "null", "none", "na")


def check_grid(config: Config) -> list[str]:
    """The problems of the grid and of the names of presets and definitions.

    Args:
        config: its fields may hold ``INVALID``.
    """
    return [
        *_check_axis("datasets", config.datasets),
        *_check_known("datasets", config.datasets, config.presets, "preset"),
        *_check_axis("variants", config.variants),
        *_check_known("variants", config.variants, config.definitions, "definition"),
        *_check_systems("unified", config),
        *_check_systems("customised", config),
        *check_sweeps("sweeps", config.sweeps, config.sweep_values),
        *check_no_repeats("sweeps", config.sweeps),
        *check_values("sweep_values", config.sweep_values),
        *_check_also(config),
        *_check_swept(config),
        *_check_axis("seeds", config.seeds),
        *check_folder_names("definitions", config.definitions),
        *_check_reserved(config.definitions),
    ]


def _check_axis(key: str, values: Any) -> list[str]:
    return check_not_empty(key, values) + check_no_repeats(key, values)


def _check_also(config: Config) -> list[str]:
    also = config.also
    if not isinstance(also, Also):
        return []
    problems = [
        *check_no_repeats("also.datasets", also.datasets),
        *_check_known("also.datasets", also.datasets, config.presets, "preset"),
        *_check_axis("also.variants", also.variants),
        *_check_known("also.variants", also.variants, config.definitions, "definition"),
        *check_sweeps("also.sweeps", also.sweeps, config.sweep_values),
        *check_no_repeats("also.sweeps", also.sweeps),
    ]
    if isinstance(also.datasets, tuple) and isinstance(config.datasets, tuple):
        problems += [
            f"also.datasets[{i}] = {shown(name)}: stands in datasets too; take it out of one of the two"
            for i, name in enumerate(also.datasets)
            if isinstance(name, str) and name in config.datasets
        ]
    return problems


def _check_swept(config: Config) -> list[str]:
    swept = [config.sweeps, config.also.sweeps if isinstance(config.also, Also) else INVALID]
    known = config.definitions
    if any(isinstance(names, tuple) and names for names in swept) and isinstance(known, Mapping):
        return [] if REFERENCE in known else [f"definitions.{REFERENCE}: missing; sweeps change it"]
    return []


def _check_systems(key: str, config: Config) -> list[str]:
    names = getattr(config, key)
    problems = check_no_repeats(key, names)
    if isinstance(config.datasets, tuple):
        for dataset in config.datasets:
            systems = getattr(config.presets.get(dataset), "systems", INVALID)
            if isinstance(systems, Mapping):
                problems += _check_known(
                    key, names, systems, f"section under systems in the preset of {dataset}"
                )
    return problems


def _check_known(key: str, names: Any, known: Any, what: str) -> list[str]:
    if not isinstance(names, tuple) or not isinstance(known, Mapping):
        return []
    return [
        f"{key}[{i}] = {shown(name)}: there is no such {what}; {nearest(name, known)}"
        for i, name in enumerate(names)
        if isinstance(name, str) and name not in known
    ]


def _check_reserved(definitions: Any) -> list[str]:
    if not isinstance(definitions, Mapping):
        return []
    return [
        f"definitions.{name}: this name is reserved; choose another"
        for name in RESERVED
        if name in definitions
    ]
