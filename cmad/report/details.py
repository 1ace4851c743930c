"""What the figures show beyond scores, read as ``cmad.evaluation.details`` left it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.entries import Entry
from cmad.report.source import Source, read, take


@dataclass(frozen=True)
class Details:
    """Of one data set; tables without rows where there is nothing to show.

    Attributes:
        pairs: variant, seed, pair, low, share, n: histograms of similarities.
        projection: variant, combination, sample, x, y, x_share, y_share, of the first seed.
        scatter: variant, combination, sample, truth, score, of the first seed; of a regression.
        reliability: variant, seed, combination, low, confidence, accuracy, n; not of a regression.
        confusion: variant, seed, combination, label, true, predicted, n; not of a regression.
    """

    pairs: pd.DataFrame
    projection: pd.DataFrame
    scatter: pd.DataFrame
    reliability: pd.DataFrame
    confusion: pd.DataFrame


def load_details(
    evaluated: Callable[[str], Source],
    manifest: Mapping[str, Any],
    rows: tuple[Entry, ...],
    seeds: tuple[int, ...],
) -> Details:
    """Read the tables and check that every row of the grid is in them.

    Args:
        evaluated: the file of a table of the evaluate stage.
        manifest: of the data set.
        rows, seeds: the grid.

    Raises:
        UserError: see ``cmad.report.source``.
    """
    test, task = manifest["splits"]["test"], manifest["task"]
    possible = [c for c in COMBINATIONS if test["combinations"][c]]
    complete = test["complete"] > 0
    regression = task["kind"] == "regression"
    graded = () if regression else possible
    labels, names = (task["names"], ("no", "yes")) if task["kind"] == "binary" else (("-",), task["names"])
    variants = [row.name for row in rows]
    unified = [row.name for row in rows if not row.customised]

    def table(name: str, columns: str, keys: Mapping[str, Any], *found: str) -> pd.DataFrame:
        """The product of the keys and of whatever values these further columns have."""
        source = evaluated(name)
        whole = read(source, tuple(columns.split()))
        return take(whole, source, {**keys, **{column: sorted(whole[column].unique()) for column in found}})

    grid = {"variant": variants, "seed": seeds}
    return Details(
        pairs=table(
            "pairs",
            "variant seed pair low share n",
            grid | {"pair": ("positive", "negative") if complete else ()},
            "low",
        ),
        projection=table(
            "projection",
            "variant combination sample x y x_share y_share",
            {"variant": unified, "combination": COMBINATIONS if complete else ()},
            "sample",
        ),
        scatter=_scatter(evaluated("scatter"), unified if regression else [], possible),
        reliability=table(
            "reliability",
            "variant seed combination low confidence accuracy n",
            grid | {"combination": graded},
            "low",
        ),
        confusion=table(
            "confusion",
            "variant seed combination label true predicted n",
            grid | {"combination": graded, "label": labels, "true": names, "predicted": names},
        ),
    )


def _scatter(source: Source, variants: list[str], combinations: list[str]) -> pd.DataFrame:
    """Points of these variants; each must have some of every combination."""
    found = read(source, ("variant", "combination", "sample", "truth", "score"))
    first = found.drop_duplicates(["variant", "combination"])
    take(first, source, {"variant": variants, "combination": combinations})
    return found[found["variant"].isin(variants)].reset_index(drop=True)
