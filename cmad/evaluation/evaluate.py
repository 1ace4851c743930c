"""From trained networks to predictions on test, and from predictions to tidy scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cmad.batches import frame_numbers
from cmad.combinations import COMBINATIONS, FULL, MODALITIES, contained
from cmad.config.schema import Evaluate
from cmad.config.schema import Network as Settings
from cmad.evaluation.consistency import consistency_rows
from cmad.network.network import Network
from cmad.predictions import predict_combinations, predict_dropped
from cmad.randomness import generator
from cmad.scores.bootstrap import REFERENCE, paired_difference
from cmad.scores.constant import constant_outputs
from cmad.scores.metrics import PRIMARY, scored, scores
from cmad.store.store import Split, Store
from cmad.task import Task
from cmad.training.checkpoint import load_network


@dataclass(frozen=True)
class Predicted:
    """A variant's predictions on test, for S seeds.

    Attributes:
        outputs: float32 [S, 7, n, K], NaN where a sample lacks the combination.
        dropped: float32 [S, P, n, K], by drop ratio.
        consistency: rows of ``consistency_rows`` with the seed.
    """

    outputs: NDArray[np.float32]
    dropped: NDArray[np.float32]
    consistency: list[dict[str, Any]]


@dataclass(frozen=True)
class Inputs:
    """Where the networks of a data set stand, and how to run them.

    Attributes:
        store: the data set.
        network: settings that the checkpoints must have been trained with.
        evaluate: the evaluate section.
        consistency_batch, consistency_tau: of the student section, for SIMS.
        seeds: in the order of the results.
        device: where to run.
    """

    store: Store
    network: Settings
    evaluate: Evaluate
    consistency_batch: int
    consistency_tau: float
    seeds: tuple[int, ...]
    device: torch.device

    def load(self, folder: Path, seed: int) -> Network:
        """The checkpoint of one seed."""
        return load_network(folder / f"seed-{seed}.pt", self.network, self.store, self.device)


def _teacher_representations(inputs: Inputs, folder: Path) -> NDArray[np.float32]:
    """E^t [S, n, D] on full input, NaN where a sample is incomplete."""
    test = inputs.store.splits["test"]
    return np.stack(
        [
            predict_combinations(
                inputs.load(folder, seed), test, inputs.evaluate.batch, inputs.device
            ).representation[FULL]
            for seed in inputs.seeds
        ]
    )


def _predict(inputs: Inputs, folder: Path, teacher: NDArray[np.float32]) -> Predicted:
    """Run a variant's networks, ``seed-<s>.pt`` in ``folder``, over test."""
    test, settings, device = inputs.store.splits["test"], inputs.evaluate, inputs.device
    complete = np.flatnonzero(test.complete)
    numbers = {m: frame_numbers(test, m, settings.seed) for m in MODALITIES}
    outputs, dropped, consistency = [], [], []
    for seed, full in zip(inputs.seeds, teacher, strict=True):
        network = inputs.load(folder, seed)
        predictions = predict_combinations(network, test, settings.batch, device)
        rows = consistency_rows(
            predictions.representation[:, complete],
            full[complete],
            inputs.consistency_batch,
            inputs.consistency_tau,
        )
        consistency += [{"seed": seed} | row for row in rows]
        outputs.append(predictions.outputs)
        dropped.append(
            np.stack(
                [
                    predict_dropped(network, test, p, numbers, settings.batch, device)
                    for p in settings.drop_ratios
                ]
            )
        )
    return Predicted(np.stack(outputs), np.stack(dropped), consistency)


def predict_all(
    inputs: Inputs, students: Path, teacher: Path, variants: tuple[str, ...]
) -> dict[str, Predicted]:
    """Run every variant over test.

    Args:
        students: folder of folders by variant, each with a ``seed-<s>.pt`` for every seed.
        teacher: folder with a ``seed-<s>.pt`` for every seed.
    """
    representations = _teacher_representations(inputs, teacher)
    bar = tqdm(variants, desc="evaluate", unit="variant", disable=None)
    return {variant: _predict(inputs, students / variant, representations) for variant in bar}


def combination_scores(task: Task, outputs: NDArray[np.floating[Any]], split: Split) -> list[dict[str, Any]]:
    """Every metric of every combination, on the samples that have it.

    Args:
        outputs: [7, n, K].

    Returns:
        Rows with combination, metric, value, n. n counts the samples behind the metric; a
        combination that no sample has gives no rows.
    """
    rows = []
    for j, have in enumerate(contained(split.has).T):
        if have.any():
            found = _score_rows(task, outputs[j, have], split.labels[have])
            rows += [{"combination": COMBINATIONS[j]} | row for row in found]
    return rows


def _score_rows(task: Task, outputs: NDArray[Any], labels: NDArray[Any]) -> list[dict[str, Any]]:
    counted = scored(task, labels)
    return [
        {
            "metric": metric,
            "value": value,
            "n": counted if metric.split("_")[0] in PRIMARY else len(labels),
        }
        for metric, value in scores(task, outputs, labels).items()
    ]


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
                    found_rows = _score_rows(task, outputs, test.labels[complete])
                    rows += [{"variant": variant, "seed": seed, "ratio": ratio} | row for row in found_rows]
    return pd.DataFrame(rows, columns=["variant", "seed", "ratio", "metric", "value", "n"])


def consistency_table(predicted: dict[str, Predicted]) -> pd.DataFrame:
    """MSE and SIMS: columns variant, seed, combination, metric, value, n."""
    rows = [{"variant": variant} | row for variant, found in predicted.items() for row in found.consistency]
    return pd.DataFrame(rows)


def difference_table(store: Store, predicted: dict[str, Predicted], settings: Evaluate) -> pd.DataFrame:
    """CMAD minus every other variant, in the average over the seven combinations.

    Returns:
        Columns variant (the other one), metric, difference, low, high, confidence: shares, with the
        paired bootstrap interval over seeds and test samples. Empty where ``cmad`` is not in the grid.
    """
    test = store.splits["test"]
    rows = []
    for variant, found in predicted.items():
        if variant != REFERENCE and REFERENCE in predicted:
            intervals = paired_difference(
                store.task,
                predicted[REFERENCE].outputs,
                found.outputs,
                test.labels,
                settings.resamples,
                settings.confidence,
                generator(settings.seed, "bootstrap"),
            )
            rows += [
                {"variant": variant, "metric": metric}
                | interval._asdict()
                | {"confidence": settings.confidence}
                for metric, interval in intervals.items()
            ]
    return pd.DataFrame(rows, columns=["variant", "metric", "difference", "low", "high", "confidence"])


def write_evaluation(folder: Path, inputs: Inputs, predicted: dict[str, Predicted]) -> None:
    """Write ``<variant>.npz`` with the per-sample predictions, and the four tables as CSV."""
    for variant, found in predicted.items():
        np.savez(folder / f"{variant}.npz", outputs=found.outputs, dropped=found.dropped)
    tables = {
        "scores": score_table(inputs.store, predicted, inputs.seeds),
        "drop_ratios": drop_table(inputs.store, predicted, inputs.seeds, inputs.evaluate.drop_ratios),
        "consistency": consistency_table(predicted),
        "differences": difference_table(inputs.store, predicted, inputs.evaluate),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
