"""``params.yaml`` and the presets to a ``Config``, strictly: whatever the schema does not know is refused."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cmad.config.grid import check_grid
from cmad.config.names import check_folder_names, dotted
from cmad.config.overrides import check_overrides
from cmad.config.schema import Config, Experiment, Preset
from cmad.config.values import check_value
from cmad.config.yaml12 import read_yaml
from cmad.errors import UserError

# Beside params.yaml. A file for each data set, for DVC reads a file anew for each stage that has a key in
# it: with all in one, that was half the time of a run that finds nothing to do.
PRESETS = "data/presets"


def preset_file(dataset: str) -> str:
    """Where a data set's preset stands, from the folder of ``params.yaml``, on one line."""
    return f"{PRESETS}/{dotted('', dataset)}.yaml"


def load(path: Path) -> Config:
    """Read and check a parameter file and the presets beside it.

    Args:
        path: of ``params.yaml``.

    Returns:
        The configuration; mappings are read-only, lists are tuples.

    Raises:
        UserError: one line per problem, each with the file, the full dotted key, the value and
            what is allowed.
    """
    raw = _read(path, str(path))
    presets = sorted((path.parent / PRESETS).glob("*.yaml"))
    return check(raw, {each.stem: _read(each, preset_file(each.stem)) for each in presets}, str(path))


def _read(path: Path, where: str) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror}); give another path") from None
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8 text; save it as UTF-8") from None
    return read_yaml(text, where)


def check(raw: Any, presets: Mapping[str, Any], where: str) -> Config:
    """Check parsed files.

    Args:
        raw: what ``read_yaml`` gives of ``params.yaml``.
        presets: likewise of each preset, by data set.
        where: what error messages call ``params.yaml``.

    Raises:
        UserError: as ``load``.
    """
    own: list[str] = []
    experiment = check_value(Experiment, {}, raw, "", own)
    problems = _in(where, own)
    checked = {}
    for dataset, each in presets.items():
        found = check_folder_names("", {dataset: each})
        checked[dataset] = check_value(Preset, {}, each, "", found)
        problems += _in(preset_file(dataset), found)
    if isinstance(experiment, Experiment):
        given = {field.name: getattr(experiment, field.name) for field in fields(experiment)}
        config = Config(**given, presets=MappingProxyType(checked))
        problems += _in(where, check_grid(config) + check_overrides(config))
    if problems:
        raise UserError("\n".join(problems))
    return config


def _in(where: str, problems: list[str]) -> list[str]:
    return [f"{where}: {problem}" for problem in problems]
