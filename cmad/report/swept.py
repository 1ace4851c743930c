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
    parts = []
    for sweep in sweeps:
        source = Source(folder / sweep.parameter / "scores.csv", f"{stage}{sweep.parameter}")
        columns = ("setting", "seed", "combination", "metric", "value", "n")
        setting = float(sweep.value)
        keys = {"setting": (setting,), "seed": seeds, "combination": combinations, "metric": metrics}
        table = known(take(read(source, columns), source, keys), source)
        parts.append(
            table.assign(
                sweep=sweep.name,
                parameter=sweep.parameter,
                own=_own(folder, stage, sweep),
            )
        )
    return pd.concat(parts)[list(COLUMNS)] if parts else pd.DataFrame(columns=list(COLUMNS))


def _own(folder: Path, stage: str, sweep: Sweep) -> float:
    source = Source(folder / sweep.parameter / "sweep.json", f"{stage}{sweep.parameter}")
    try:
        about = json.loads(source.path.read_text(encoding="utf-8"))
        found, own = about["parameter"], float(about["own"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise source.refuse(f"not readable ({short(error)})") from None
    if found != sweep.parameter:
        raise source.refuse(f"this is {found}")
    return own
