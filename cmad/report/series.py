"""Series over epochs and drop ratios: what the curves show, and what ``dvc plots`` reads."""

from collections.abc import Iterable

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.config.grid import REFERENCE
from cmad.report.load import Cells
from cmad.report.summary import drop_summary, over_seeds

# MAR's columns of a log, see ``cmad.methods.cmad``.
WEIGHT, WEIGHT_T, DIFFICULTY = "psi", "psi_t", "w"


def by_epoch(log: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column of a log over seeds, indexed by epoch: mean, std."""
    return over_seeds(log, ["epoch"], column)


def warm_up(log: pd.DataFrame) -> pd.DataFrame:
    """The rows of a log up to the last epoch in which any seed's W changes: then MAR is fixed."""
    columns = [f"{DIFFICULTY}_{combination}" for combination in COMBINATIONS]
    changed = log.groupby("seed")[columns].diff().ne(0).any(axis=1)
    return log[log["epoch"] <= log.loc[changed, "epoch"].max()]


def weighted_variant(cells: Cells) -> str | None:
    """The variant whose MAR weights are shown: ``cmad``, or the first that logs any."""
    logged = [v for v, log in cells.logs.items() if f"{WEIGHT}_{COMBINATIONS[0]}" in log]
    return REFERENCE if REFERENCE in logged else next(iter(logged), None)


def training_series(of: Iterable[Cells]) -> pd.DataFrame:
    """Mean over seeds: dataset, variant, epoch, dev_f1, loss."""
    parts = [
        pd.concat({name: by_epoch(log, name)["mean"] for name in ("dev_f1", "loss")}, axis=1)
        .reset_index()
        .assign(dataset=cells.dataset, variant=variant)
        for cells in of
        for variant, log in cells.logs.items()
    ]
    return _joined(parts, ["dataset", "variant", "epoch", "dev_f1", "loss"])


def weight_series(of: Iterable[Cells]) -> pd.DataFrame:
    """Mean over seeds: dataset, variant, combination, epoch, weight, weight_t, difficulty."""
    columns = {WEIGHT: "weight", WEIGHT_T: "weight_t", DIFFICULTY: "difficulty"}
    parts = []
    for cells in of:
        variant = weighted_variant(cells)
        for combination in COMBINATIONS if variant else ():
            log = cells.logs[str(variant)]
            means = {new: by_epoch(log, f"{old}_{combination}")["mean"] for old, new in columns.items()}
            parts.append(
                pd.concat(means, axis=1)
                .reset_index()
                .assign(dataset=cells.dataset, variant=variant, combination=combination)
            )
    return _joined(parts, ["dataset", "variant", "combination", "epoch", *columns.values()])


def drop_series(of: Iterable[Cells]) -> pd.DataFrame:
    """Mean over seeds: dataset, variant, ratio, accuracy, f1."""
    parts = []
    for cells in of:
        means = drop_summary(cells)["mean"]
        for variant in cells.variants if len(means) else ():
            wide = pd.concat({metric: means.loc[(metric, variant)] for metric in ("accuracy", "f1")}, axis=1)
            parts.append(wide.reset_index().assign(dataset=cells.dataset, variant=variant))
    return _joined(parts, ["dataset", "variant", "ratio", "accuracy", "f1"])


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)
