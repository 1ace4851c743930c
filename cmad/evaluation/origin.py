"""What scores were computed from, so that a report can tell when that has changed since."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cmad.entries import Entry
from cmad.files import sha256

FILE = "origin.json"


def origin(here: Path, rows: Iterable[Entry]) -> dict[str, Any]:
    """Fingerprints of what lies in a data set's folder.

    Args:
        here: the folder with store, teacher and students.
        rows: of the grid.

    Returns:
        ``store``: SHA-256 of its manifest; ``teacher`` and ``rows`` (by name): by seed the SHA-256 of its
        part of the training log, nothing where nothing was trained. A log has losses with all their
        digits, so another training has another log.

    Raises:
        OSError: the store is missing.
    """
    return {
        "store": sha256(here / "store" / "manifest.json"),
        "teacher": _by_seed(here / "teacher" / "log.csv"),
        "rows": {row.name: _by_seed(here / "students" / row.name / "log.csv") for row in rows},
    }


def write_origin(folder: Path, here: Path, rows: Iterable[Entry]) -> None:
    """Write ``origin`` beside the scores."""
    text = json.dumps(origin(here, rows), indent=2) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")


def changed(then: Mapping[str, Any], now: Mapping[str, Any], seeds: Iterable[int]) -> str:
    """What is no longer what it was, in words; "" where all of ``now`` is.

    Args:
        then, now: as ``origin`` gives them; of ``then`` other rows and seeds are not looked at.
        seeds: of the grid.

    Raises:
        KeyError, TypeError, AttributeError: ``then`` is not what ``origin`` gives.
    """
    if then["store"] != now["store"]:
        return "the store"
    for seed in map(str, seeds):
        if then["teacher"].get(seed) != now["teacher"].get(seed):
            return f"the teacher of seed {seed}"
        for name, logs in now["rows"].items():
            if then["rows"].get(name, {}).get(seed) != logs.get(seed):
                return f"{name} of seed {seed}"
    return ""


def _by_seed(log: Path) -> dict[str, str]:
    """By seed the SHA-256 of its rows in a log; empty without a log."""
    parts: dict[str, Any] = {}
    if log.exists():
        with log.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("seed"):
                    digest = parts.setdefault(row["seed"], hashlib.sha256())
                    digest.update(json.dumps(row).encode())
    return {seed: digest.hexdigest() for seed, digest in parts.items()}
