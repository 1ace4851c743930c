"""Bytes that the stages will leave."""

from pathlib import Path
from typing import Literal

from cmad.combinations import COMBINATIONS, MODALITIES
from cmad.config.schema import Preprocess
from cmad.planning.shapes import Shapes
from cmad.scores.metrics import METRICS, PRIMARY

_FLOAT = 4
# A line of a table of scores, about: setting, seed, combination, metric, value and n.
_SCORE = 36


def checkpoint_bytes(
    weights: int,
    of_encoder: int,
    keep: Literal["full", "difference", "none"],
    shapes: Shapes,
    width: int,
    combinations: int,
    ratios: int,
) -> int:
    """What is kept of one model.

    Args:
        weights: of the network, those of its encoder included.
        of_encoder: weights of the language encoder, kept in half precision as a difference.
        keep: see ``cmad.config.schema.Keep``.
        width: D, of the representation.
        combinations: number of those that it is for.
        ratios: number of drop ratios that it is run on.
    """
    if keep == "none":
        n, outputs = shapes.counts["test"], shapes.task.outputs
        return n * _FLOAT * ((combinations + ratios) * outputs + combinations * width)
    if keep == "difference":
        return _FLOAT * (weights - of_encoder) + 2 * of_encoder
    return _FLOAT * weights


def teacher_bytes(weights: int, shapes: Shapes, width: int) -> int:
    """One teacher, kept whole, and its outputs on train."""
    per_sample = width + shapes.task.outputs + shapes.task.records
    return _FLOAT * (weights + shapes.counts["train"] * per_sample)


def evaluation_bytes(rows: int, seeds: int, shapes: Shapes, ratios: int) -> int:
    """The predictions on test that the tables are made of."""
    return _FLOAT * rows * seeds * (len(COMBINATIONS) + ratios) * shapes.counts["test"] * shapes.task.outputs


def scores_bytes(models: int, shapes: Shapes) -> int:
    """The scores on test, which are all that the models of a sweep leave."""
    metrics = len(METRICS[shapes.task.kind])
    if shapes.task.kind == "binary":
        metrics += len(PRIMARY) * len(shapes.task.names)
    return _SCORE * models * len(COMBINATIONS) * metrics


def store_bytes(store: Path, params: Preprocess, shapes: Shapes) -> int:
    """The store as it lies there, or as large as it will be at most."""
    if (store / "manifest.json").exists():
        return sum(file.stat().st_size for file in store.iterdir() if file.is_file())
    n = sum(shapes.counts.values())
    total = 0.0
    for m in MODALITIES:
        if m == "language" and shapes.encoder is not None:
            per_frame = 2 * 4  # token id and segment
        else:
            per_frame = shapes.widths[m] * (2 if m in params.half else _FLOAT)
        total += n * min(shapes.frames[m], getattr(params.max_frames, m)) * per_frame
    return int(total)
