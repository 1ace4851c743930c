"""All students of one row of the tables: every seed, and for a customised system every combination."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cmad.combinations import COMBINATIONS
from cmad.computing.device import choose_device
from cmad.computing.precision import computing
from cmad.computing.processes import joined
from cmad.computing.randomness import torch_threads
from cmad.config.schema import Keep, Student
from cmad.config.schema import Network as Settings
from cmad.files import sha256, whole_folder
from cmad.store.store import Store, open_store
from cmad.students.keep import Cell, keep_model
from cmad.students.student import create_method, train_student
from cmad.training.checkpoint import checkpoint_name, load_network
from cmad.training.log import Logged, write_log
from cmad.training.scratch import Scratch, folder_digest, place, surroundings
from cmad.training.teacher_cache import cache_name, load_cache


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        method: name of a file in ``cmad/methods``.
        options: its own section, empty for the project's own methods.
        network, student, keep: see ``cmad.config.schema``.
        seeds, threads, device, precision: likewise.
    """

    method: str
    options: Mapping[str, Any]
    network: Settings
    student: Student
    keep: Keep
    seeds: tuple[int, ...]
    threads: int
    device: str
    precision: str


def train_students(
    recipe: Recipe,
    store_folder: Path,
    teachers: Path,
    target: Path,
    customised: bool,
    scratch: Scratch | None = None,
) -> None:
    """Train them and write ``target``: what is kept of each, and ``log.csv``.

    Args:
        store_folder: the data set's store.
        teachers: the teacher stage's folder; student seed s learns from teacher seed s.
        target: replaced on success, untouched on failure.
        customised: one model for each combination instead of one for all.
        scratch: where trainings are kept, so that those that are done are not done again.
    """
    device = choose_device(recipe.device)
    store = open_store(store_folder)
    combinations = range(len(COMBINATIONS)) if customised else (None,)
    logs = []
    with (
        torch_threads(recipe.threads),
        computing(recipe.precision, device),
        joined(device),
        whole_folder(target) as folder,
    ):
        inputs = folder_digest(store_folder) if scratch else ""
        for seed in recipe.seeds:
            teacher = load_network(teachers / checkpoint_name(seed), recipe.network, store, device)
            cache = load_cache(teachers / cache_name(seed), device)
            for combination in combinations:
                method = create_method(
                    recipe.method,
                    store,
                    recipe.network,
                    recipe.student,
                    recipe.options,
                    teacher,
                    combination,
                    seed,
                    device,
                )
                name = "" if combination is None else f" {COMBINATIONS[combination]}"
                label = f"{target.name}{name}, seed {seed}"
                cell = Cell(seed, combination)
                key = _key(recipe, store, inputs, teachers, cell, device) if scratch else {}
                with place(scratch, key, label) as kept:
                    fitted = train_student(
                        method, store, recipe.student, cache, combination, seed, label, device, kept
                    )
                keep_model(
                    folder,
                    cell,
                    method.network,
                    fitted.state,
                    recipe.keep,
                    recipe.student.batch,
                    recipe.network,
                    store,
                    device,
                )
                logs.append(Logged(fitted.log, {"seed": seed, "combination": name.strip()}))
        write_log(folder / "log.csv", logs)


def _key(
    recipe: Recipe, store: Store, inputs: str, teachers: Path, cell: Cell, device: torch.device
) -> dict[str, Any]:
    """All that determines the bits of one model: other seeds and what is kept of it do not.

    Args:
        inputs: the digest of the store.
    """
    files = (teachers / checkpoint_name(cell.seed), teachers / cache_name(cell.seed))
    return {
        "method": recipe.method,
        "options": dict(recipe.options),
        "network": asdict(recipe.network),
        "student": asdict(recipe.student),
        "cell": asdict(cell),
        "store": inputs,
        "teacher": [sha256(file) for file in files],
    } | surroundings(recipe.threads, recipe.precision, device, store.encoder is not None)
