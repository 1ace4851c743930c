"""What each stage of the pipeline may read of ``params.yaml``, and nothing else.

DVC reruns a stage only for the keys that the stage declares. So a stage gets an object that is
built from its declared keys alone: each field here names its keys, and ``read`` hands the field no
other part of the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from cmad.config.load import load
from cmad.config.names import nearest
from cmad.config.overrides import override
from cmad.config.schema import Config, Definition, Evaluate, Network, Preprocess, Student, Teacher
from cmad.errors import UserError

_DEFINITION = "definitions.{variant}"
_STUDENT = "presets.{dataset}.student"


def _same(value: Any) -> Any:
    return value


def _method(definition: Definition) -> str:
    return definition.method


def _student(definition: Definition, student: Student) -> Student:
    return override(student, definition.student)


def _from(*keys: str, build: Callable[..., Any] = _same) -> dict[str, Any]:
    """Metadata of a field made by ``build`` from what stands at these dotted keys."""
    return {"keys": keys, "build": build}


@dataclass(frozen=True)
class PreprocessParams:
    """Of one data set."""

    preprocess: Preprocess = field(metadata=_from("presets.{dataset}.preprocess"))


@dataclass(frozen=True)
class TeacherParams:
    """Of one data set's teachers, one for each seed."""

    network: Network = field(metadata=_from("presets.{dataset}.network"))
    teacher: Teacher = field(metadata=_from("presets.{dataset}.teacher"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))


@dataclass(frozen=True)
class StudentParams:
    """Of one variant on one data set; ``student`` has the variant's overrides applied."""

    method: str = field(metadata=_from(_DEFINITION, build=_method))
    network: Network = field(metadata=_from("presets.{dataset}.network"))
    student: Student = field(metadata=_from(_DEFINITION, _STUDENT, build=_student))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))


@dataclass(frozen=True)
class EvaluateParams:
    """Of one data set's scores; ``student`` is the preset's, without a variant's overrides."""

    network: Network = field(metadata=_from("presets.{dataset}.network"))
    student: Student = field(metadata=_from(_STUDENT))
    evaluate: Evaluate = field(metadata=_from("presets.{dataset}.evaluate"))
    variants: tuple[str, ...] = field(metadata=_from("variants"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))


@dataclass(frozen=True)
class ReportParams:
    """Of the report over the whole grid."""

    datasets: tuple[str, ...] = field(metadata=_from("datasets"))
    variants: tuple[str, ...] = field(metadata=_from("variants"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))


Params = TypeVar("Params", PreprocessParams, TeacherParams, StudentParams, EvaluateParams, ReportParams)


def keys(kind: type, dataset: str = "", variant: str = "") -> list[str]:
    """The dotted keys of ``params.yaml`` behind one of the classes above, each once, in order."""
    patterns = dict.fromkeys(pattern for each in fields(kind) for pattern in each.metadata["keys"])
    return [pattern.format(dataset=dataset, variant=variant) for pattern in patterns]


def read(path: Path, kind: type[Params], dataset: str = "", variant: str = "") -> Params:
    """Check a whole parameter file, then give a stage its part.

    Args:
        path: of ``params.yaml``.
        kind: one of the classes above.
        dataset: name of a preset, where ``kind`` belongs to one.
        variant: name of a definition, where ``kind`` belongs to one.

    Raises:
        UserError: a problem of the file (see ``cmad.config.load.load``), or an unknown name.
    """
    config = load(path)
    patterns = "".join(keys(kind, "{dataset}", "{variant}"))
    if "{dataset}" in patterns and dataset not in config.presets:
        hint = nearest(dataset, config.presets)
        raise UserError(f"{path}: there is no data set {dataset!r} in presets; {hint}")
    if "{variant}" in patterns and variant not in config.definitions:
        hint = nearest(variant, config.definitions)
        raise UserError(f"{path}: there is no variant {variant!r} in definitions; {hint}")
    values = {}
    for each in fields(kind):
        parts = [_at(config, key.format(dataset=dataset, variant=variant)) for key in each.metadata["keys"]]
        values[each.name] = each.metadata["build"](*parts)
    return kind(**values)


def _at(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value
