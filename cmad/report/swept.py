"""The scores of sweeps as their stages left them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmad.config.sweeps import Sweep
from cmad.report.source import Source, known, read, short, take

COLUMNS = ("sweep", "parameter", "setting", "own", "seed", "combination", "metric", "value", "n")


def load_sweeps(
    folder: Path,
    stage: str,
    sweeps: Sequence[Sweep],
    seeds: tuple[int, ...],
    combinations: Sequence[str],
    metrics: Sequence[str],
) -> pd.DataFrame:
    """One data set's sweeps, in the order of the parameter file.

    Args:
        folder: with a folder for each knob, see ``cmad.evaluation.sweep``.
        stage: what the names of their stages begin with, e.g. "sweep@demo-".

    Returns:
        ``COLUMNS``: sweep is its name, setting the value, own that of ``cmad``.

    Raises:
        UserError: see ``cmad.report.source``.
    """
    # A knob's files hold all its values: read once, however many are wanted.
    knobs = {name: _knob(folder, stage, name) for name in dict.fromkeys(each.parameter for each in sweeps)}
    parts = []
    for sweep in sweeps:
        source, scores, own = knobs[sweep.parameter]
        setting = float(sweep.value)
        keys = {"setting": (setting,), "seed": seeds, "combination": combinations, "metric": metrics}
        table = known(take(scores, source, keys), source)
        parts.append(table.assign(sweep=sweep.name, parameter=sweep.parameter, own=own))
    return pd.concat(parts)[list(COLUMNS)] if parts else pd.DataFrame(columns=list(COLUMNS))


def _knob(folder: Path, stage: str, parameter: str) -> tuple[Source, pd.DataFrame, float]:
    """Where a knob's scores stand, the scores of all its values, and the value of ``cmad``."""
    source = Source(folder / parameter / "scores.csv", f"{stage}{parameter}")
    scores = read(source, ("setting", "seed", "combination", "metric", "value", "n"))
    return source, scores, _own(folder, stage, parameter)


def _own(folder: Path, stage: str, parameter: str) -> float:
    source = Source(folder / parameter / "sweep.json", f"{stage}{parameter}")
    try:
        about = json.loads(source.path.read_text(encoding="utf-8"))
        found, own = about["parameter"], float(about["own"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise source.refuse(f"not readable ({short(error)})") from None
    if found != parameter:
        raise source.refuse(f"this is {found}")
    return own
