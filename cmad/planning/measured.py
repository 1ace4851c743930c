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


def scaled(seconds: float, log: Path, epochs: int) -> tuple[float, bool]:
    """A time as if ``epochs`` had been trained, of all seeds and models together.

    Args:
        log: of the training that took the time, a row for each epoch.

    Returns:
        The seconds, and whether they had to be scaled. Without a log the time stays as it is.
    """
    try:
        then = len(pd.read_csv(log, usecols=["epoch"]))
    except (OSError, ValueError):
        return seconds, False
    if then == 0 or then == epochs:
        return seconds, False
    return seconds * epochs / then, True
