"""The say of the grid's rows on test: from their networks, or from what was kept instead of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cmad.combinations import COMBINATIONS, FULL
from cmad.config.schema import Evaluate, Student
from cmad.config.schema import Network as Settings
from cmad.entries import Entry
from cmad.evaluation.consistency import consistency_rows
from cmad.evaluation.details import pair_rows, projection_rows
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.store.store import Store
from cmad.students.kept import Kept, kept_name, load_kept, run_on
from cmad.students.student import create_method
from cmad.training.checkpoint import checkpoint_name, load_network, load_weights


@dataclass(frozen=True)
class Predicted:
    """A row's predictions on test, for S seeds.

    Attributes:
        outputs: float32 [S, 7, n, K], NaN where a sample lacks the combination.
        dropped: float32 [S, P, n, K], by drop ratio.
        consistency: rows of ``consistency_rows`` with the seed.
        pairs: rows of ``cmad.evaluation.details.pair_rows`` with the seed.
        projection: rows of ``cmad.evaluation.details.projection_rows`` of the first seed; none of a
            customised row, whose combinations have networks of their own.
        parameters: weights of one network.
    """

    outputs: NDArray[np.float32]
    dropped: NDArray[np.float32]
    consistency: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    projection: list[dict[str, Any]]
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
        students: folder of folders by row, with networks or with predictions kept (``cmad.students.keep``).
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
    """One seed's teacher, and its E^t [C, D] on the C complete samples of test."""

    network: Network
    representation: NDArray[np.float32]


@dataclass(frozen=True)
class _Cell:
    """One row's part of one seed: outputs [7, n, K], dropped [P, n, K]."""

    outputs: NDArray[np.float32]
    dropped: NDArray[np.float32]
    consistency: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    projection: list[dict[str, Any]]
    parameters: int


def predict_all(inputs: Inputs, teacher: Path, rows: tuple[Entry, ...]) -> dict[str, Predicted]:
    """Run every row of the grid over test.

    Args:
        teacher: folder with a ``seed-<s>.pt`` for every seed.

    Returns:
        By name of the row.

    Raises:
        UserError: a network or kept predictions that are missing or do not fit.
    """
    cells: dict[str, list[_Cell]] = {row.name: [] for row in rows}
    with tqdm(total=len(rows) * len(inputs.seeds), desc="evaluate", unit="row", disable=None) as bar:
        # One seed after the other, so that one teacher is held at a time.
        for seed in inputs.seeds:
            taught = _teacher(inputs, teacher / checkpoint_name(seed))
            for row in rows:
                cells[row.name].append(_predict(inputs, row, seed, taught))
                bar.update()
    return {name: _joined(of_row) for name, of_row in cells.items()}


def _joined(cells: list[_Cell]) -> Predicted:
    return Predicted(
        outputs=np.stack([cell.outputs for cell in cells]),
        dropped=np.stack([cell.dropped for cell in cells]),
        consistency=[row for cell in cells for row in cell.consistency],
        pairs=[row for cell in cells for row in cell.pairs],
        projection=cells[0].projection,
        parameters=cells[-1].parameters,
    )


def _teacher(inputs: Inputs, path: Path) -> _Teacher:
    network = load_network(path, inputs.network, inputs.store, inputs.device)
    test = inputs.store.splits["test"]
    full = predict_combinations(network, test, inputs.evaluate.batch, inputs.device, (FULL,))
    return _Teacher(network, full.representation[FULL, test.complete])


def _predict(inputs: Inputs, row: Entry, seed: int, teacher: _Teacher) -> _Cell:
    # A customised row has a model for each combination; the last is LAV's, which frames are dropped from.
    models = range(len(COMBINATIONS)) if row.customised else (None,)
    parts = [_kept(inputs, row, seed, combination, teacher.network) for combination in models]
    student, batch = np.concatenate([part.representation for part in parts]), inputs.student.batch
    found = consistency_rows(student, teacher.representation, batch, inputs.student.tau)
    pairs = pair_rows(student, teacher.representation, batch)
    first = seed == inputs.seeds[0]
    return _Cell(
        outputs=np.concatenate([part.outputs for part in parts]),
        dropped=parts[-1].dropped,
        consistency=[{"seed": seed} | each for each in found],
        pairs=[{"seed": seed} | each for each in pairs],
        projection=projection_rows(student) if first and not row.customised else [],
        parameters=parts[-1].parameters,
    )


def _kept(inputs: Inputs, row: Entry, seed: int, combination: int | None, teacher: Network) -> Kept:
    store, settings, folder = inputs.store, inputs.evaluate, inputs.students / row.name
    kept = folder / kept_name(seed, combination)
    if kept.exists():
        return load_kept(kept, settings.drop_ratios, settings.seed, inputs.network, store)
    network = _load(inputs, row, seed, combination, teacher)
    combinations = range(len(COMBINATIONS)) if combination is None else (combination,)
    return run_on(
        network,
        store.splits["test"],
        combinations,
        settings.drop_ratios,
        settings.seed,
        settings.batch,
        inputs.device,
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
