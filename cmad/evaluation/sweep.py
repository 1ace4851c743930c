"""One value of a sweep: trained, scored on test, and nothing kept but the scores."""

import json
import shutil
from pathlib import Path

import pandas as pd

from cmad.config.sweeps import Sweep
from cmad.evaluation.score import combination_scores
from cmad.files import whole_folder
from cmad.store.store import open_store
from cmad.training.kept import kept_name, load_kept
from cmad.training.students import Recipe, train_students


def write_sweep(
    recipe: Recipe, swept: Sweep, own: float, store_folder: Path, teachers: Path, target: Path
) -> None:
    """Train one student per seed and score it.

    Args:
        recipe: with the value already in its student section; it keeps predictions, not weights.
        swept: the value.
        own: the value of the same knob in ``cmad``.
        store_folder, teachers: see ``train_students``.
        target: gets ``scores.csv`` (seed, combination, metric, value, n) and ``sweep.json`` (parameter,
            value, own); replaced on success, untouched on failure.
    """
    store = open_store(store_folder)
    with whole_folder(target) as folder:
        # Named after the value, which is what the training's progress shows.
        models = folder / swept.name
        train_students(recipe, store_folder, teachers, models, customised=False)
        rows = []
        for seed in recipe.seeds:
            kept = load_kept(models / kept_name(seed, None), (), recipe.keep.seed, recipe.network, store)
            found = combination_scores(store.task, kept.outputs, store.splits["test"])
            rows += [{"seed": seed} | row for row in found]
        shutil.rmtree(models)
        pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
        about = {"parameter": swept.parameter, "value": swept.value, "own": own}
        (folder / "sweep.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
