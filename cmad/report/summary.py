"""Means and standard deviations over seeds."""

from collections.abc import Sequence

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.paper import AVERAGE
from cmad.report.load import Cells

# The columns of every table of scores.
COLUMNS = (*COMBINATIONS, AVERAGE)


def over_seeds(table: pd.DataFrame, keys: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean and sample standard deviation (ddof 1) of each group of seeds.

    Args:
        table: ``keys``, seed, ``value``, one row per seed.

    Returns:
        Indexed by ``keys``, sorted: mean, std. With one seed std is NaN.
    """
    found = table.groupby(list(keys))[value].agg(mean="mean", std="std")
    assert isinstance(found, pd.DataFrame)
    return found


def part(summary: pd.DataFrame, *of: str) -> pd.DataFrame:
    """The rows of a summary under these first levels of its index."""
    found = summary.xs(of)
    assert isinstance(found, pd.DataFrame)
    return found


def with_average(table: pd.DataFrame) -> pd.DataFrame:
    """Add rows of combination "Avg.", the plain mean of the combinations that have a value.

    Args:
        table: combination, value, n, and other columns that tell the rows apart. The average has
            no n.
    """
    keys = [c for c in table.columns if c not in ("combination", "value", "n")]
    averages = table.groupby(keys, sort=False)["value"].mean().reset_index().assign(combination=AVERAGE)
    return pd.concat([table.astype({"n": "Int64"}), averages], ignore_index=True)


def score_summary(cells: Cells) -> pd.DataFrame:
    """Scores of variants and references, indexed by metric, variant and combination: mean, std."""
    keys = ["metric", "variant", "combination"]
    scores = over_seeds(with_average(cells.scores), keys)
    references = with_average(cells.references).set_index(keys)[["value"]].rename(columns={"value": "mean"})
    return pd.concat([scores, references]).sort_index()


def consistency_summary(cells: Cells) -> pd.DataFrame:
    """MSE and SIMS, indexed by metric, variant and combination: mean, std."""
    return over_seeds(with_average(cells.consistency), ["metric", "variant", "combination"])


def class_summary(cells: Cells) -> pd.DataFrame:
    """Scores of classes, indexed by metric, variant, class and combination: mean, std."""
    table = with_average(cells.classes)
    return over_seeds(table, ["metric", "variant", "class", "combination"])


def drop_summary(cells: Cells) -> pd.DataFrame:
    """Scores by drop ratio, indexed by metric, variant and ratio: mean, std."""
    return over_seeds(cells.drops, ["metric", "variant", "ratio"])


def counts(table: pd.DataFrame, metric: str, by: str) -> dict[str | float, int]:
    """n behind a metric, by combination or drop ratio; it is the same for all variants and seeds."""
    rows = table[table["metric"] == metric]
    return dict(zip(rows[by], rows["n"].astype(int), strict=True))


def headline(cells: Cells) -> dict[str, dict[str, float | None]]:
    """Accuracy and F1 of each variant, mean over combinations and seeds, to 4 digits."""
    means = score_summary(cells)["mean"]
    return {
        variant: {
            metric: None if pd.isna(mean) else round(float(mean), 4)
            for metric, mean in ((m, means[m, variant, AVERAGE]) for m in ("accuracy", "f1"))
        }
        for variant in cells.variants
    }
