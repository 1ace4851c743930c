"""What each stage of the pipeline may read of ``params.yaml`` and the presets, and nothing else.

DVC reruns a stage only for the keys that the stage declares. So a stage gets an object that is
built from its declared keys alone: each field here names its keys, and ``read`` hands the field
nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from cmad.config.load import PRESETS, load, preset_file
from cmad.config.names import nearest
from cmad.config.overrides import override
from cmad.config.schema import (
    Also,
    Config,
    Definition,
    Evaluate,
    Keep,
    Network,
    Preprocess,
    Student,
    Teacher,
)
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
    """Metadata of a field made by ``build`` from what stands at these dotted keys of ``Config``."""
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
    precision: str = field(metadata=_from("precision"))


@dataclass(frozen=True)
class StudentParams:
    """Of one variant on one data set; ``student`` has the variant's overrides applied."""

    method: str = field(metadata=_from(_DEFINITION, build=_method))
    network: Network = field(metadata=_from("presets.{dataset}.network"))
    student: Student = field(metadata=_from(_DEFINITION, _STUDENT, build=_student))
    keep: Keep = field(metadata=_from("presets.{dataset}.keep"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))
    precision: str = field(metadata=_from("precision"))


@dataclass(frozen=True)
class SweepParams:
    """Of one knob's values on one data set; ``student`` is that of the variant ``cmad``."""

    values: tuple[float, ...] = field(metadata=_from("sweep_values.{parameter}"))

    network: Network = field(metadata=_from("presets.{dataset}.network"))
    student: Student = field(metadata=_from("definitions.cmad", _STUDENT, build=_student))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))
    precision: str = field(metadata=_from("precision"))


@dataclass(frozen=True)
class SystemParams:
    """Of one comparison system on one data set."""

    network: Network = field(metadata=_from("presets.{dataset}.network"))
    student: Student = field(metadata=_from("presets.{dataset}.student"))
    keep: Keep = field(metadata=_from("presets.{dataset}.keep"))
    options: Mapping[str, Any] = field(metadata=_from("presets.{dataset}.systems.{system}"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))
    precision: str = field(metadata=_from("precision"))


@dataclass(frozen=True)
class EvaluateParams:
    """Of one data set's scores; ``student`` is the preset's, without a variant's overrides."""

    network: Network = field(metadata=_from("presets.{dataset}.network"))
    student: Student = field(metadata=_from(_STUDENT))
    evaluate: Evaluate = field(metadata=_from("presets.{dataset}.evaluate"))
    systems: Mapping[str, Mapping[str, Any]] = field(metadata=_from("presets.{dataset}.systems"))
    variants: tuple[str, ...] = field(metadata=_from("variants"))
    unified: tuple[str, ...] = field(metadata=_from("unified"))
    customised: tuple[str, ...] = field(metadata=_from("customised"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))
    precision: str = field(metadata=_from("precision"))


@dataclass(frozen=True)
class EvaluateAlsoParams:
    """As ``EvaluateParams``, of a data set of the second grid."""

    network: Network = field(metadata=_from("presets.{dataset}.network"))
    student: Student = field(metadata=_from(_STUDENT))
    evaluate: Evaluate = field(metadata=_from("presets.{dataset}.evaluate"))
    variants: tuple[str, ...] = field(metadata=_from("also.variants"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))
    device: str = field(metadata=_from("device"))
    precision: str = field(metadata=_from("precision"))


@dataclass(frozen=True)
class ReportParams:
    """Of the report over the whole grid."""

    datasets: tuple[str, ...] = field(metadata=_from("datasets"))
    variants: tuple[str, ...] = field(metadata=_from("variants"))
    unified: tuple[str, ...] = field(metadata=_from("unified"))
    customised: tuple[str, ...] = field(metadata=_from("customised"))
    sweeps: tuple[str, ...] = field(metadata=_from("sweeps"))
    sweep_values: Mapping[str, tuple[float, ...]] = field(metadata=_from("sweep_values"))
    also: Also = field(metadata=_from("also"))
    seeds: tuple[int, ...] = field(metadata=_from("seeds"))
    threads: int = field(metadata=_from("threads"))


Params = TypeVar(
    "Params",
    PreprocessParams,
    TeacherParams,
    StudentParams,
    SweepParams,
    SystemParams,
    EvaluateParams,
    EvaluateAlsoParams,
    ReportParams,
)


def keys(kind: type, **names: str) -> list[str]:
    """The keys behind one of the classes above, each once, in order.

    A key of a preset has its file before it, as on DVC's command line:
    "data/presets/demo.yaml:student.sigma".

    Args:
        names: ``dataset``, ``variant``, ``system`` and ``parameter``, as far as the class has to do with
            them.
    """
    patterns = dict.fromkeys(pattern for each in fields(kind) for pattern in each.metadata["keys"])
    return [_on_command_line(pattern.format(**names)) for pattern in patterns]


def _on_command_line(key: str) -> str:
    section, _, rest = key.partition(".")
    if section != "presets":
        return key
    dataset, _, own = rest.partition(".")
    return f"{preset_file(dataset)}:{own}"


def read(path: Path, kind: type[Params], **names: str) -> Params:
    """Check all parameters, then give a stage its part.

    Args:
        path: of ``params.yaml``.
        kind: one of the classes above.
        names: as in ``keys``.

    Raises:
        UserError: a problem of a file (see ``cmad.config.load.load``), or an unknown name.
    """
    config = load(path)
    _check_names(path, config, names)
    values = {}
    for each in fields(kind):
        parts = [_at(config, key.format(**names)) for key in each.metadata["keys"]]
        values[each.name] = each.metadata["build"](*parts)
    return kind(**values)


def _check_names(path: Path, config: Config, names: Mapping[str, str]) -> None:
    for name, value in names.items():
        what, known, where = _known(config, name, names)
        if value not in set(known):
            raise UserError(f"{path}: there is no {what} {value!r} in {where}; {nearest(value, known)}")


def _known(config: Config, name: str, names: Mapping[str, str]) -> tuple[str, Iterable[str], str]:
    if name == "dataset":
        return "data set", config.presets, PRESETS
    if name == "variant":
        return "variant", config.definitions, "definitions"
    if name == "parameter":
        return "knob", config.sweep_values, "sweep_values"
    dataset = names["dataset"]
    return "system", config.presets[dataset].systems, f"the systems of {preset_file(dataset)}"


def _at(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value
