"""Times that earlier runs left, and how much they trained then."""

import json
from pathlib import Path

import pandas as pd


def recorded(times: Path, name: str) -> float | None:
    """Seconds of a stage's last run on this machine; None where it never ran here."""
    try:
        return float(json.loads((times / f"{name}.json").read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def epochs_of(log: Path) -> int | None:
    """Epochs behind a training's log, which has a row for each, of all seeds and models together."""
    try:
        return len(pd.read_csv(log, usecols=["epoch"]))
    except (OSError, ValueError):
        return None


def models_of(scores: Path) -> int | None:
    """Models behind the scores of a sweep, which leaves no log: one for each value and seed."""
    try:
        return len(pd.read_csv(scores, usecols=["setting", "seed"]).drop_duplicates())
    except (OSError, ValueError):
        return None


def scaled(seconds: float, then: int | None, now: int) -> tuple[float, bool]:
    """A time as if ``now`` epochs or models had been trained.

    Args:
        then: how many took the time; None where unknown, and the time stays as it is.

    Returns:
        The seconds, and whether they had to be scaled.
    """
    if not then or then == now:
        return seconds, False
    return seconds * now / then, True
