"""The cells of the grid as the stages left them: read, checked to be all there, never guessed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmad.combinations import COMBINATIONS
from cmad.entries import Entry
from cmad.errors import UserError
from cmad.evaluation.origin import FILE, changed, origin
from cmad.files import sha256
from cmad.scores.bootstrap import COMPARED, REFERENCE
from cmad.scores.metrics import METRICS, PRIMARY
from cmad.splits import SPLITS

_MANIFEST = ("format", "task", "widths", "non_finite", "constant_columns", "cut_frames", "shared_groups")
_SPLIT = ("n", "complete", "combinations", "labels", "lengths")
_TYPES = {
    "seed": "Int64",
    "epoch": "int64",
    **dict.fromkeys(("n", "models", "parameters"), "int64"),
    **dict.fromkeys(
        ("ratio", "value", "difference", "low", "high", "confidence", "p", "p_holm", "dev_f1", "dev_f1_LAV"),
        "float64",
    ),
    **dict.fromkeys(("variant", "set", "combination", "class", "metric"), "str"),
}


@dataclass(frozen=True)
class Cells:
    """What the stages left of one data set.

    Attributes:
        dataset: its name.
        rows, seeds: the grid, in its order.
        manifest: see ``cmad.store.manifest``.
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
        store: SHA-256 of the store's manifest.
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
    store: str

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


@dataclass(frozen=True)
class _Source:
    """A file, and the stage that writes it."""

    path: Path
    stage: str

    def refuse(self, problem: str) -> UserError:
        remedy = f"run its stage again: dvc repro --single-item --force {self.stage}"
        return UserError(f"{self.path}: {problem}; {remedy}")


def load(runs: Path, dataset: str, rows: tuple[Entry, ...], seeds: tuple[int, ...]) -> Cells:
    """Read one data set's cells.

    Args:
        runs: folder with a folder for each data set.
        dataset: which one.
        rows, seeds: the cells wanted. Others that lie there are not looked at.

    Raises:
        UserError: a file is missing or unreadable, or lacks a cell; or the scores are those of another
            store, teacher or training than lies there.
    """
    here = runs / dataset
    manifest = _manifest(_Source(here / "store" / "manifest.json", f"preprocess@{dataset}"))
    possible = [c for c, count in manifest["splits"]["test"]["combinations"].items() if count]
    combinations = [c for c in COMBINATIONS if c in possible]
    metrics = _metrics(manifest)
    variants = [row.name for row in rows]
    grid = {"variant": variants, "seed": seeds}
    others = [v for v in variants if v != REFERENCE] if REFERENCE in variants else []

    def evaluated(name: str) -> _Source:
        return _Source(here / "evaluation" / f"{name}.csv", f"evaluate@{dataset}")

    evaluated_from = _Source(here / "evaluation" / FILE, f"evaluate@{dataset}")
    models = evaluated("rows")
    scores = evaluated("scores")
    score_table = _read(scores, ("variant", "seed", "combination", "metric", "value", "n"))
    of_reference = score_table["seed"].isna()
    classes = evaluated("classes")
    class_names = manifest["task"]["names"] if manifest["task"]["kind"] == "classes" else ()
    drops = evaluated("drop_ratios")
    drop_table = _read(drops, ("variant", "seed", "ratio", "metric", "value", "n"))
    consistency = evaluated("consistency")
    differences = evaluated("differences")
    # Without a complete test sample nothing is there to drop frames from, or to compare with the teacher.
    complete = manifest["splits"]["test"]["complete"] > 0
    logs = {
        row.name: _log(
            _Source(here / "students" / row.name / "log.csv", stage_of(dataset, row)),
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
        models=_take(
            _read(models, ("variant", "set", "models", "parameters")), models, {"variant": variants}
        ),
        scores=_known(
            _take(
                score_table[~of_reference], scores, grid | {"combination": combinations, "metric": metrics}
            ),
            scores,
        ),
        references=_known(
            _take(
                score_table[of_reference].drop(columns="seed"),
                scores,
                {"variant": _references(manifest), "combination": combinations, "metric": metrics},
            ),
            scores,
        ),
        # A class that no test sample is of has no recall.
        classes=_take(
            _read(classes, ("variant", "seed", "combination", "class", "metric", "value", "n")),
            classes,
            grid
            | {"combination": combinations, "class": class_names, "metric": ("precision", "recall", "f1")},
        ),
        drops=_known(
            _take(
                drop_table, drops, grid | {"ratio": _ratios(drop_table, drops, complete), "metric": metrics}
            ),
            drops,
        ),
        consistency=_known(
            _take(
                _read(consistency, ("variant", "seed", "combination", "metric", "value", "n")),
                consistency,
                grid | {"combination": COMBINATIONS if complete else (), "metric": ("mse", "sims")},
            ),
            consistency,
        ),
        differences=_take(
            _read(
                differences,
                ("variant", "metric", "difference", "low", "high", "confidence", "p", "p_holm"),
            ),
            differences,
            {"variant": others, "metric": COMPARED},
        ),
        logs={v: log for v, log in logs.items() if len(log)},
        teacher=_log(
            _Source(here / "teacher" / "log.csv", f"teacher@{dataset}"), seeds, ("dev_loss", "loss")
        ),
        store=sha256(here / "store" / "manifest.json"),
    )
    # What is absent has a better name by now.
    _refuse_stale(evaluated_from, here, cells)
    return cells


def _refuse_stale(source: _Source, here: Path, cells: Cells) -> None:
    """Nothing, if the scores are those of what lies there."""
    now = origin(here, cells.rows)
    try:
        then = json.loads(source.path.read_text(encoding="utf-8"))
        stale = changed(then, now, cells.seeds)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise source.refuse(f"not a readable origin ({_short(error)})") from None
    if stale:
        raise source.refuse(f"the scores are stale: {stale} has changed since")


def stage_of(dataset: str, row: Entry) -> str:
    """The stage that trains a row."""
    if row.system is None:
        return f"student@{dataset}-{row.name}"
    return f"{'customised' if row.customised else 'unified'}@{dataset}-{row.system}"


def _manifest(source: _Source) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(source.path.read_text(encoding="utf-8"))
        for part, names in [(manifest, _MANIFEST), *((manifest["splits"][s], _SPLIT) for s in SPLITS)]:
            for name in names:
                part[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise source.refuse(f"not a readable manifest ({_short(error)})") from None
    return manifest


def _metrics(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    task = manifest["task"]
    labels = task["names"] if task["kind"] == "binary" else ()
    return (*METRICS[task["kind"]], *(f"{m}_{name}" for name in labels for m in PRIMARY))


def _references(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Only of generated data is the best possible predictor known."""
    return ("constant", "ceiling") if manifest["format"] == "demo" else ("constant",)


def _ratios(table: pd.DataFrame, source: _Source, complete: bool) -> list[float]:
    """The drop ratios that were evaluated; each variant and seed must have them all."""
    ratios: list[float] = sorted(table["ratio"].unique())
    if complete and not ratios:
        raise source.refuse("no rows")
    return ratios if complete else []


def _read(source: _Source, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            source.path,
            dtype={name: _TYPES[name] for name in columns},
            usecols=list(columns),
            # A class may be called NA; what is empty has no value.
            keep_default_na=False,
            na_values=[""],
        )
    except (OSError, ValueError) as error:
        raise source.refuse(f"not a readable table ({_short(error)})") from None
    return table


def _log(source: _Source, seeds: tuple[int, ...], columns: tuple[str, ...]) -> pd.DataFrame:
    """A training log; no rows where nothing was trained, else every epoch of every seed.

    Args:
        columns: that it must have besides seed and epoch.
    """
    try:
        table = pd.read_csv(source.path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise source.refuse(f"not a readable log ({_short(error)})") from None
    if table.empty:
        return table
    for column in ("seed", "epoch", *columns):
        if column not in table:
            raise source.refuse(f"no column {column}")
    return _take(table, source, {"seed": seeds, "epoch": sorted(table["epoch"].unique())})


def _take(table: pd.DataFrame, source: _Source, keys: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """The rows of a product of keys, one each, in its order.

    Raises:
        UserError: naming the first row that is absent or there twice.
    """
    wanted = pd.MultiIndex.from_product([list(values) for values in keys.values()], names=list(keys))
    # Of several levels even where there is one key.
    indexed = table.drop(columns=list(keys)).set_axis(pd.MultiIndex.from_frame(table[list(keys)]))
    found = indexed[indexed.index.isin(wanted)]
    missing = wanted[~wanted.isin(found.index)]
    if len(missing):
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise source.refuse(f"no row for {_name(keys, missing[0])}{more}")
    twice = found.index[found.index.duplicated()]
    if len(twice):
        raise source.refuse(f"more than one row for {_name(keys, twice[0])}")
    return found.reindex(wanted).reset_index()


def _known(table: pd.DataFrame, source: _Source) -> pd.DataFrame:
    """The table, if every value with samples behind it is a number."""
    unknown = table[table["value"].isna() & (table["n"] > 0)]
    if len(unknown):
        keys = [c for c in table.columns if c not in ("value", "n")]
        raise source.refuse(f"no value for {_name(keys, unknown.iloc[0][keys])}")
    return table


def _name(keys: Iterable[str], values: Iterable[Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))


def _short(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    text = f"no {error}" if isinstance(error, KeyError) else str(error)
    return text.splitlines()[0] if text else type(error).__name__
