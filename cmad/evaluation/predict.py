"""Running the trained networks of the grid over test."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cmad.batches import frame_numbers
from cmad.combinations import COMBINATIONS, FULL, MODALITIES
from cmad.config.schema import Evaluate, Student
from cmad.config.schema import Network as Settings
from cmad.entries import Entry
from cmad.evaluation.consistency import consistency_rows
from cmad.network.network import Network
from cmad.predictions import Predictions, predict_combinations, predict_dropped
from cmad.store.store import Store
from cmad.training.checkpoint import checkpoint_name, load_network, load_weights
from cmad.training.student import create_method


@dataclass(frozen=True)
class Predicted:
    """A row's predictions on test, for S seeds.

    Attributes:
        outputs: float32 [S, 7, n, K], NaN where a sample lacks the combination.
        dropped: float32 [S, P, n, K], by drop ratio.
        consistency: rows of ``consistency_rows`` with the seed.
        parameters: weights of one network.
    """

    outputs: NDArray[np.float32]
    dropped: NDArray[np.float32]
    consistency: list[dict[str, Any]]
    parameters: int


@dataclass(frozen=True)
class Inputs:
    """Where the networks of a data set stand, and how to run them.

    Attributes:
        store: the data set.
        network: settings that the checkpoints must have been trained with.
        student: the preset's section: batch and tau of the consistency measures, and what a system
            is rebuilt from.
        systems: the options of each comparison system.
        evaluate: the evaluate section.
        students: folder of folders by row.
        seeds: in the order of the results.
        device: where to run.
    """

    store: Store
    network: Settings
    student: Student
    systems: Mapping[str, Mapping[str, Any]]
    evaluate: Evaluate
    students: Path
    seeds: tuple[int, ...]
    device: torch.device


@dataclass(frozen=True)
class _Teacher:
    """One seed's teacher, and its E^t [n, D] on test, NaN where a sample is incomplete."""

    network: Network
    representation: NDArray[np.float32]


def predict_all(inputs: Inputs, teacher: Path, rows: tuple[Entry, ...]) -> dict[str, Predicted]:
    """Run every row of the grid over test.

    Args:
        teacher: folder with a ``seed-<s>.pt`` for every seed.

    Returns:
        By name of the row.
    """
    teachers = [_teacher(inputs, teacher / f"seed-{seed}.pt") for seed in inputs.seeds]
    bar = tqdm(rows, desc="evaluate", unit="row", disable=None)
    return {row.name: _predict(inputs, row, teachers) for row in bar}


def _teacher(inputs: Inputs, path: Path) -> _Teacher:
    network = load_network(path, inputs.network, inputs.store, inputs.device)
    test = inputs.store.splits["test"]
    full = predict_combinations(network, test, inputs.evaluate.batch, inputs.device, (FULL,))
    return _Teacher(network, full.representation[FULL].copy())


def _predict(inputs: Inputs, row: Entry, teachers: list[_Teacher]) -> Predicted:
    test, settings, device = inputs.store.splits["test"], inputs.evaluate, inputs.device
    complete = np.flatnonzero(test.complete)
    numbers = {m: frame_numbers(test, m, settings.seed) for m in MODALITIES}
    outputs, dropped, consistency = [], [], []
    for seed, teacher in zip(inputs.seeds, teachers, strict=True):
        full, predictions = _combinations(inputs, row, seed, teacher.network)
        found = consistency_rows(
            predictions.representation[:, complete],
            teacher.representation[complete],
            inputs.student.batch,
            inputs.student.tau,
        )
        consistency += [{"seed": seed} | each for each in found]
        outputs.append(predictions.outputs)
        ratios = (
            predict_dropped(full, test, ratio, numbers, settings.batch, device)
            for ratio in settings.drop_ratios
        )
        dropped.append(np.stack(list(ratios)))
    parameters = sum(weight.numel() for weight in full.parameters())
    return Predicted(np.stack(outputs), np.stack(dropped), consistency, parameters)


def _combinations(inputs: Inputs, row: Entry, seed: int, teacher: Network) -> tuple[Network, Predictions]:
    """The network that sees all modalities, and the predictions under all seven combinations."""
    test, batch, device = inputs.store.splits["test"], inputs.evaluate.batch, inputs.device
    if not row.customised:
        network = _load(inputs, row, seed, None, teacher)
        return network, predict_combinations(network, test, batch, device)
    # Each combination has a model of its own; the last is LAV's.
    parts = []
    for j in range(len(COMBINATIONS)):
        network = _load(inputs, row, seed, j, teacher)
        parts.append(predict_combinations(network, test, batch, device, (j,)))
    return network, Predictions(
        np.stack([part.representation[j] for j, part in enumerate(parts)]),
        np.stack([part.outputs[j] for j, part in enumerate(parts)]),
    )


def _load(inputs: Inputs, row: Entry, seed: int, combination: int | None, teacher: Network) -> Network:
    path = inputs.students / row.name / checkpoint_name(seed, combination)
    if row.system is None:
        return load_network(path, inputs.network, inputs.store, inputs.device)
    network = create_method(
        row.system,
        inputs.store,
        inputs.network,
        inputs.student,
        inputs.systems[row.system],
        teacher,
        combination,
        seed,
        inputs.device,
    ).network
    load_weights(network, path, inputs.network, inputs.store, inputs.device)
    return network
