"""From predictions on test to tidy scores, and both to disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmad.combinations import COMBINATIONS, FULL, contained
from cmad.computing.randomness import generator
from cmad.config.grid import REFERENCE
from cmad.config.schema import Evaluate
from cmad.entries import Entry
from cmad.evaluation.details import confusion_rows, reliability_rows, scatter_rows, table
from cmad.evaluation.predict import Inputs, Predicted
from cmad.evaluation.score import combination_scores, score_rows
from cmad.scores.bootstrap import (
    LEAST_SEEDS,
    MOST_SEEDS,
    averages,
    holm,
    paired_difference,
    sign_flip_p,
)
from cmad.scores.constant import constant_outputs
from cmad.scores.metrics import by_class, confusion
from cmad.store.store import Store


def score_table(store: Store, predicted: dict[str, Predicted], seeds: tuple[int, ...]) -> pd.DataFrame:
    """Scores of all variants, of the constant predictor and of the Bayes ceiling where there is one.

    Returns:
        Columns variant, seed, combination, metric, value, n; the two references have no seed.
    """
    task, test = store.task, store.splits["test"]
    rows: list[dict[str, Any]] = []
    for variant, found in predicted.items():
        for seed, outputs in zip(seeds, found.outputs, strict=True):
            scored_rows = combination_scores(task, outputs, test)
            rows += [{"variant": variant, "seed": seed} | row for row in scored_rows]
    constant = constant_outputs(task, store.splits["train"].labels)
    references = {"constant": np.broadcast_to(constant, (7, len(test), task.outputs))}
    if test.ceiling is not None:
        references["ceiling"] = test.ceiling.swapaxes(0, 1)
    for name, outputs in references.items():
        rows += [{"variant": name, "seed": None} | row for row in combination_scores(task, outputs, test)]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def class_table(store: Store, predicted: dict[str, Predicted], seeds: tuple[int, ...]) -> pd.DataFrame:
    """Precision, recall and F1 of each class, of a task with classes; empty for other tasks.

    Returns:
        Columns variant, seed, combination, class, metric, value, n; n counts the test samples that are of
        the class and have the combination.
    """
    task, test = store.task, store.splits["test"]
    rows: list[dict[str, Any]] = []
    possible = contained(test.has).T
    for variant, found in predicted.items() if task.kind == "classes" else ():
        for seed, outputs in zip(seeds, found.outputs, strict=True):
            for j, have in enumerate(possible):
                if not have.any():
                    continue
                counts = confusion(task, outputs[j, have], test.labels[have])[0]
                key = {"variant": variant, "seed": seed, "combination": COMBINATIONS[j]}
                rows += [
                    key | {"class": name, "metric": metric, "value": value, "n": int(n)}
                    for metric, values in by_class(counts).items()
                    for name, value, n in zip(task.names, values, counts.sum(1), strict=True)
                ]
    return pd.DataFrame(rows, columns=["variant", "seed", "combination", "class", "metric", "value", "n"])


def drop_table(
    store: Store, predicted: dict[str, Predicted], seeds: tuple[int, ...], ratios: tuple[float, ...]
) -> pd.DataFrame:
    """Scores by drop ratio, on the complete samples, so that ratio 0 is the combination LAV.

    Returns:
        Columns variant, seed, ratio, metric, value, n.
    """
    task, test = store.task, store.splits["test"]
    rows: list[dict[str, Any]] = []
    complete = test.complete
    if complete.any():
        for variant, found in predicted.items():
            at_zero = found.outputs[:, FULL][:, None]
            series = np.concatenate([at_zero, found.dropped], axis=1)[:, :, complete]
            for seed, by_ratio in zip(seeds, series, strict=True):
                for ratio, outputs in zip((0.0, *ratios), by_ratio, strict=True):
                    found_rows = score_rows(task, outputs, test.labels[complete])
                    rows += [{"variant": variant, "seed": seed, "ratio": ratio} | row for row in found_rows]
    return pd.DataFrame(rows, columns=["variant", "seed", "ratio", "metric", "value", "n"])


def consistency_table(predicted: dict[str, Predicted]) -> pd.DataFrame:
    """MSE and SIMS: columns variant, seed, combination, metric, value, n."""
    rows = [{"variant": variant} | row for variant, found in predicted.items() for row in found.consistency]
    return pd.DataFrame(rows)


def difference_table(
    store: Store, predicted: dict[str, Predicted], rows: tuple[Entry, ...], settings: Evaluate
) -> pd.DataFrame:
    """CMAD minus every other row, in the average over the seven combinations.

    Returns:
        Columns variant (the other one), metric, difference, low, high, confidence: shares, with the
        paired bootstrap interval over seeds and test samples; p, p_holm: sign-flip permutation over
        seeds for TEA and the comparison systems, and its Holm correction over them, empty with fewer
        than 9 seeds or more than 24. The table is empty where ``cmad`` is not in the grid.
    """
    columns = ["variant", "metric", "difference", "low", "high", "confidence", "p", "p_holm"]
    others = [row for row in rows if row.name != REFERENCE]
    if REFERENCE not in predicted or not others:
        return pd.DataFrame(columns=columns)
    labels, reference = store.splits["test"].labels, predicted[REFERENCE].outputs
    found = []
    for row in others:
        outputs = predicted[row.name].outputs
        rng = generator(settings.seed, "bootstrap")
        intervals = paired_difference(
            store.task, reference, outputs, labels, settings.resamples, settings.confidence, rng
        )
        is_system = row.system is not None or row.name == "tea"
        testable = is_system and LEAST_SEEDS <= len(outputs) <= MOST_SEEDS
        p = _p_values(store, reference, outputs) if testable else {}
        found += [
            {"variant": row.name, "metric": metric, "confidence": settings.confidence}
            | interval._asdict()
            | {"p": p.get(metric, np.nan)}
            for metric, interval in intervals.items()
        ]
    differences = pd.DataFrame(found)
    differences["p_holm"] = differences.groupby("metric")["p"].transform(lambda p: holm(p.to_numpy()))
    return differences[columns]


def _p_values(store: Store, a: NDArray[np.float32], b: NDArray[np.float32]) -> dict[str, float]:
    by_seed = averages(store.task, np.stack([a, b]), store.splits["test"].labels)
    return {metric: sign_flip_p(values[0] - values[1]) for metric, values in by_seed.items()}


def row_table(predicted: dict[str, Predicted], rows: tuple[Entry, ...]) -> pd.DataFrame:
    """What each row is: columns variant, set ("C" or "U"), models, parameters (of one model)."""
    return pd.DataFrame(
        {
            "variant": row.name,
            "set": "C" if row.customised else "U",
            "models": len(COMBINATIONS) if row.customised else 1,
            "parameters": predicted[row.name].parameters,
        }
        for row in rows
    )


def detail_tables(
    store: Store, predicted: dict[str, Predicted], rows: tuple[Entry, ...], seeds: tuple[int, ...]
) -> dict[str, pd.DataFrame]:
    """What the figures show beyond scores, see ``cmad.evaluation.details``, led by variant and seed.

    Scatters are those of the first seed and of unified rows alone.
    """
    task, test = store.task, store.splits["test"]
    by_seed = [
        ({"variant": variant, "seed": seed}, outputs)
        for variant, found in predicted.items()
        for seed, outputs in zip(seeds, found.outputs, strict=True)
    ]
    graded = by_seed if task.kind != "regression" else []
    drawn = [row.name for row in rows if not row.customised and task.kind == "regression"]
    return {
        "pairs": table(
            ({"variant": v} | row for v, found in predicted.items() for row in found.pairs),
            "variant seed pair low share n",
        ),
        "projection": table(
            ({"variant": v} | row for v, found in predicted.items() for row in found.projection),
            "variant combination sample x y x_share y_share",
        ),
        "scatter": table(
            ({"variant": v} | row for v in drawn for row in scatter_rows(predicted[v].outputs[0], test)),
            "variant combination sample truth score",
        ),
        "reliability": table(
            (key | row for key, outputs in graded for row in reliability_rows(task, outputs, test)),
            "variant seed combination low confidence accuracy n",
        ),
        "confusion": table(
            (key | row for key, outputs in graded for row in confusion_rows(task, outputs, test)),
            "variant seed combination label true predicted n",
        ),
    }


def write_evaluation(
    folder: Path, inputs: Inputs, rows: tuple[Entry, ...], predicted: dict[str, Predicted]
) -> None:
    """Write ``<row>.npz`` with the per-sample predictions, and the tables as CSV."""
    for name, found in predicted.items():
        np.savez(folder / f"{name}.npz", outputs=found.outputs, dropped=found.dropped)
    tables = {
        "rows": row_table(predicted, rows),
        "scores": score_table(inputs.store, predicted, inputs.seeds),
        "classes": class_table(inputs.store, predicted, inputs.seeds),
        "drop_ratios": drop_table(inputs.store, predicted, inputs.seeds, inputs.evaluate.drop_ratios),
        "consistency": consistency_table(predicted),
        "differences": difference_table(inputs.store, predicted, rows, inputs.evaluate),
    } | detail_tables(inputs.store, predicted, rows, inputs.seeds)
    for name, found_table in tables.items():
        found_table.to_csv(folder / f"{name}.csv", index=False)
