"""What the evaluate stage leaves for the figures, made up, beside the tables of ``tests.test_report``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.entries import Entry


def write_figure_tables(
    folder: Path,
    kind: str,
    names: Sequence[str],
    rows: Sequence[Entry],
    seeds: Sequence[int],
    counts: Mapping[str, int],
) -> None:
    """pairs, projection, scatter, reliability, confusion as ``cmad.evaluation.details`` writes them."""
    grid = [(row.name, seed) for row in rows for seed in seeds]
    unified = [row.name for row in rows if not row.customised]
    possible = [c for c in COMBINATIONS if counts[c]]
    complete = counts["LAV"] > 0
    graded = possible if kind != "regression" else []
    labels, classes = (tuple(names), ("no", "yes")) if kind == "binary" else (("-",), tuple(names))

    def write(name: str, columns: str, found: list[tuple[Any, ...]]) -> None:
        pd.DataFrame(found, columns=columns.split()).to_csv(folder / f"{name}.csv", index=False)

    # Positive pairs in the upper bin, three quarters of the negative in the lower.
    shares = {
        ("positive", -1.0): 0.0,
        ("positive", 0.0): 1.0,
        ("negative", -1.0): 0.75,
        ("negative", 0.0): 0.25,
    }
    write(
        "pairs",
        "variant seed pair low share n",
        [(v, s, p, low, share, 600) for v, s in grid for (p, low), share in shares.items() if complete],
    )
    write(
        "projection",
        "variant combination sample x y x_share y_share",
        [
            (v, c, i, i + 0.1 * j, i - 0.2 * j, 0.5, 0.25)
            for v in unified
            for j, c in enumerate(COMBINATIONS)
            for i in range(4)
            if complete
        ],
    )
    write(
        "scatter",
        "variant combination sample truth score",
        [
            (v, c, i, i / 2 - 1, i / 4)
            for v in unified
            for c in possible
            for i in range(5)
            if kind == "regression"
        ],
    )
    write(
        "reliability",
        "variant seed combination low confidence accuracy n",
        [
            (v, s, c, low, low + 0.2 if n else None, low + 0.1 if n else None, n)
            for v, s in grid
            for c in graded
            for low, n in ((0.0, 0), (0.5, 40))
        ],
    )
    write(
        "confusion",
        "variant seed combination label true predicted n",
        [
            (v, s, c, label, true, said, 30 if true == said else 10)
            for v, s in grid
            for c in graded
            for label in labels
            for true in classes
            for said in classes
        ],
    )
