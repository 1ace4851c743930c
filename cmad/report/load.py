"""The cells of the grid as the stages left them: read, checked to be all there, never guessed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.config.grid import REFERENCE
from cmad.config.sweeps import Sweep
from cmad.entries import Entry
from cmad.evaluation.origin import FILE, changed, origin
from cmad.files import sha256
from cmad.report.details import Details, load_details
from cmad.report.source import Source, known, read, short, take
from cmad.report.swept import load_sweeps
from cmad.scores.bootstrap import COMPARED
from cmad.scores.metrics import METRICS, PRIMARY
from cmad.splits import SPLITS

_MANIFEST = ("format", "task", "widths", "non_finite", "constant_columns", "cut_frames", "shared_groups")
_SPLIT = ("n", "complete", "combinations", "labels", "lengths")


@dataclass(frozen=True)
class Cells:
    """What the stages left of one data set.

    Attributes:
        dataset: its name.
        rows, seeds: the grid, in its order.
        manifest: see ``cmad.preprocessing.manifest``.
        models: variant, set, models, parameters (of one model); one row for each row of the grid.
        scores: variant, seed, combination, metric, value, n; one row for each cell of the grid,
            without combinations that no test sample has.
        references: variant ("constant" or "ceiling"), combination, metric, value, n.
        classes: variant, seed, combination, class, metric ("precision", "recall", "f1"), value, n of that
            class; empty for tasks without classes.
        drops: variant, seed, ratio, metric, value, n; empty where no test sample is complete.
        consistency: variant, seed, combination, metric ("mse", "sims"), value, n; likewise.
        differences: variant, metric, difference, low, high, confidence, p, p_holm: ``cmad`` minus the
            variant; no p where none was computed. Empty where the grid has no ``cmad``, or nothing else.
        logs: by variant seed, epoch and whatever its method logs; not of variants that train nothing, nor
            of customised systems, whose dev F1 is another combination's in each log.
        teacher: the teachers' log.
        details: what the figures show beyond scores.
        sweeps: see ``cmad.report.swept.load_sweeps``.
        store: SHA-256 of the store's manifest.
        suffix: what the names of the grid's stages end with: nothing, or "_also".
    """

    dataset: str
    rows: tuple[Entry, ...]
    seeds: tuple[int, ...]
    manifest: Mapping[str, Any]
    models: pd.DataFrame
    scores: pd.DataFrame
    references: pd.DataFrame
    classes: pd.DataFrame
    drops: pd.DataFrame
    consistency: pd.DataFrame
    differences: pd.DataFrame
    logs: Mapping[str, pd.DataFrame]
    teacher: pd.DataFrame
    details: Details
    sweeps: pd.DataFrame
    store: str
    suffix: str

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the rows, as in every column ``variant``."""
        return tuple(row.name for row in self.rows)

    @property
    def kind(self) -> str:
        """Of the task: "regression", "classes" or "binary"."""
        kind: str = self.manifest["task"]["kind"]
        return kind

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the task, see ``cmad.scores.metrics.scores``."""
        return _metrics(self.manifest)

    @property
    def has_ceiling(self) -> bool:
        """Whether the best possible predictor is known."""
        return "ceiling" in set(self.references["variant"])


def load(
    runs: Path,
    dataset: str,
    rows: tuple[Entry, ...],
    seeds: tuple[int, ...],
    sweeps: tuple[Sweep, ...] = (),
    suffix: str = "",
) -> Cells:
    """Read one data set's cells.

    Args:
        runs: folder with a folder for each data set.
        dataset: which one.
        rows, seeds, sweeps: the cells wanted. Others that lie there are not looked at.
        suffix: see ``Cells``.

    Raises:
        UserError: a file is missing or unreadable, or lacks a cell; or the scores are those of another
            store, teacher or training than lies there.
    """
    here = runs / dataset
    manifest = _manifest(Source(here / "store" / "manifest.json", f"preprocess{suffix}@{dataset}"))
    possible = [c for c, count in manifest["splits"]["test"]["combinations"].items() if count]
    combinations = [c for c in COMBINATIONS if c in possible]
    metrics = _metrics(manifest)
    variants = [row.name for row in rows]
    grid = {"variant": variants, "seed": seeds}
    others = [v for v in variants if v != REFERENCE] if REFERENCE in variants else []

    def evaluated(name: str) -> Source:
        return Source(here / "evaluation" / f"{name}.csv", f"evaluate{suffix}@{dataset}")

    evaluated_from = Source(here / "evaluation" / FILE, f"evaluate{suffix}@{dataset}")
    models = evaluated("rows")
    scores = evaluated("scores")
    score_table = read(scores, ("variant", "seed", "combination", "metric", "value", "n"))
    of_reference = score_table["seed"].isna()
    classes = evaluated("classes")
    class_names = manifest["task"]["names"] if manifest["task"]["kind"] == "classes" else ()
    drops = evaluated("drop_ratios")
    drop_table = read(drops, ("variant", "seed", "ratio", "metric", "value", "n"))
    consistency = evaluated("consistency")
    differences = evaluated("differences")
    # Without a complete test sample nothing is there to drop frames from, or to compare with the teacher.
    complete = manifest["splits"]["test"]["complete"] > 0
    logs = {
        row.name: _log(
            Source(here / "students" / row.name / "log.csv", stage_of(dataset, row, suffix)),
            seeds,
            ("dev_f1", "loss"),
        )
        for row in rows
        if not row.customised
    }
    cells = Cells(
        dataset=dataset,
        rows=rows,
        seeds=seeds,
        manifest=manifest,
        models=take(read(models, ("variant", "set", "models", "parameters")), models, {"variant": variants}),
        scores=known(
            take(score_table[~of_reference], scores, grid | {"combination": combinations, "metric": metrics}),
            scores,
        ),
        references=known(
            take(
                score_table[of_reference].drop(columns="seed"),
                scores,
                {"variant": _references(manifest), "combination": combinations, "metric": metrics},
            ),
            scores,
        ),
        # A class that no test sample is of has no recall.
        classes=take(
            read(classes, ("variant", "seed", "combination", "class", "metric", "value", "n")),
            classes,
            grid
            | {"combination": combinations, "class": class_names, "metric": ("precision", "recall", "f1")},
        ),
        drops=known(
            take(
                drop_table, drops, grid | {"ratio": _ratios(drop_table, drops, complete), "metric": metrics}
            ),
            drops,
        ),
        consistency=known(
            take(
                read(consistency, ("variant", "seed", "combination", "metric", "value", "n")),
                consistency,
                grid | {"combination": COMBINATIONS if complete else (), "metric": ("mse", "sims")},
            ),
            consistency,
        ),
        differences=take(
            read(
                differences,
                ("variant", "metric", "difference", "low", "high", "confidence", "p", "p_holm"),
            ),
            differences,
            {"variant": others, "metric": COMPARED},
        ),
        logs={v: log for v, log in logs.items() if len(log)},
        teacher=_log(
            Source(here / "teacher" / "log.csv", f"teacher{suffix}@{dataset}"), seeds, ("dev_loss", "loss")
        ),
        details=load_details(evaluated, manifest, rows, seeds),
        sweeps=load_sweeps(
            here / "sweeps", f"sweep{suffix}@{dataset}-", sweeps, seeds, combinations, metrics
        ),
        store=sha256(here / "store" / "manifest.json"),
        suffix=suffix,
    )
    # What is absent has a better name by now.
    _refuse_stale(evaluated_from, here, cells)
    return cells


def _refuse_stale(source: Source, here: Path, cells: Cells) -> None:
    """Nothing, if the scores are those of what lies there."""
    now = origin(here, cells.rows)
    try:
        then = json.loads(source.path.read_text(encoding="utf-8"))
        stale = changed(then, now, cells.seeds)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise source.refuse(f"not a readable origin ({short(error)})") from None
    if stale:
        raise source.refuse(f"the scores are stale: {stale} has changed since")


def stage_of(dataset: str, row: Entry, suffix: str) -> str:
    """The stage that trains a row."""
    if row.system is None:
        return f"student{suffix}@{dataset}-{row.name}"
    return f"{'customised' if row.customised else 'unified'}@{dataset}-{row.system}"


def _manifest(source: Source) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(source.path.read_text(encoding="utf-8"))
        for part, names in [(manifest, _MANIFEST), *((manifest["splits"][s], _SPLIT) for s in SPLITS)]:
            for name in names:
                part[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise source.refuse(f"not a readable manifest ({short(error)})") from None
    return manifest


def _metrics(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    task = manifest["task"]
    labels = task["names"] if task["kind"] == "binary" else ()
    return (*METRICS[task["kind"]], *(f"{m}_{name}" for name in labels for m in PRIMARY))


def _references(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Only of generated data is the best possible predictor known."""
    return ("constant", "ceiling") if manifest["format"] == "demo" else ("constant",)


def _ratios(table: pd.DataFrame, source: Source, complete: bool) -> list[float]:
    """The drop ratios that were evaluated; each variant and seed must have them all."""
    ratios: list[float] = sorted(table["ratio"].unique())
    if complete and not ratios:
        raise source.refuse("no rows")
    return ratios if complete else []


def _log(source: Source, seeds: tuple[int, ...], columns: tuple[str, ...]) -> pd.DataFrame:
    """A training log; no rows where nothing was trained, else every epoch of every seed.

    Args:
        columns: that it must have besides seed and epoch.
    """
    try:
        table = pd.read_csv(source.path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise source.refuse(f"not a readable log ({short(error)})") from None
    if table.empty:
        return table
    for column in ("seed", "epoch", *columns):
        if column not in table:
            raise source.refuse(f"no column {column}")
    return take(table, source, {"seed": seeds, "epoch": sorted(table["epoch"].unique())})
