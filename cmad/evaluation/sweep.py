"""The values of one knob: trained, scored on test, and nothing kept but the scores."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cmad.config.overrides import override
from cmad.config.sweeps import Sweep
from cmad.evaluation.score import combination_scores
from cmad.files import whole_folder
from cmad.store.store import open_store
from cmad.students.kept import kept_name, load_kept
from cmad.students.students import Recipe, train_students
from cmad.training.scratch import Scratch


def write_sweep(
    recipe: Recipe,
    swept: Sequence[Sweep],
    store_folder: Path,
    teachers: Path,
    target: Path,
    scratch: Scratch | None = None,
) -> None:
    """Train one student per value and seed, and score it.

    Args:
        recipe: of the student as it is without the sweep; it keeps predictions, not weights.
        swept: the values, of one knob.
        store_folder, teachers, scratch: see ``train_students``.
        target: gets ``scores.csv`` (setting, seed, combination, metric, value, n) and ``sweep.json``
            (parameter, own: the value of the student as it is); replaced on success, untouched on failure.
    """
    (parameter,) = {each.parameter for each in swept}
    with whole_folder(target) as folder:
        rows = [
            {"setting": each.value} | row
            for each in swept
            for row in _scores(recipe, each, store_folder, teachers, folder, scratch)
        ]
        pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
        about = {"parameter": parameter, "own": getattr(recipe.student, parameter)}
        (folder / "sweep.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def _scores(
    recipe: Recipe, swept: Sweep, store_folder: Path, teachers: Path, folder: Path, scratch: Scratch | None
) -> list[dict[str, Any]]:
    """The scores of one value, seed by seed; its predictions are removed again."""
    store, own = open_store(store_folder), replace(recipe, student=override(recipe.student, swept.changes))
    # Named after the value, which is what the training's progress shows.
    models = folder / swept.name
    train_students(own, store_folder, teachers, models, customised=False, scratch=scratch)
    rows = []
    for seed in own.seeds:
        kept = load_kept(models / kept_name(seed, None), (), own.keep.seed, own.network, store)
        found = combination_scores(store.task, kept.outputs, store.splits["test"])
        rows += [{"seed": seed} | row for row in found]
    shutil.rmtree(models)
    return rows
