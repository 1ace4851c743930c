"""How large a data set is, from the best source there is: its store, its generator, what is published."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cmad.combinations import MODALITIES
from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.language.find import find, weights_checksum
from cmad.language.model import traits
from cmad.published.facts import of_preset
from cmad.raw import demo
from cmad.splits import SPLITS
from cmad.store.store import Encoder, Split, Store
from cmad.task import Task

# Where sizes of the splits are not published.
_SHARES = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Shapes:
    """Sizes of a data set.

    Attributes:
        counts: samples by split.
        widths: by modality, of what the network reads; of a fine-tuned encoder its hidden width.
        frames: by modality, mean length of a stream.
        task: what is predicted.
        encoder: where language is stored as token ids, with the checksum of its weights.
    """

    counts: Mapping[str, int]
    widths: Mapping[str, int]
    frames: Mapping[str, float]
    task: Task
    encoder: tuple[Encoder, str] | None


def shapes_of(name: str, params: Preprocess, store: Path) -> Shapes | None:
    """Sizes of a preset's data; None where nothing tells them before preprocess ran.

    Args:
        name: of the preset.
        params: its preprocess section.
        store: where its store is or will be.

    Raises:
        UserError: the language encoder is not there and cannot be downloaded, or takes no sequences as long.
    """
    encoder = None
    if params.text is not None and params.text.fine_tune:
        folder = find(params.text.encoder)
        found = traits(folder)
        _check_positions(found.positions, params.max_frames.language)
        encoder = Encoder(params.text.encoder, found.width), weights_checksum(folder)
    try:
        manifest = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
        return _of_manifest(manifest, encoder)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if params.generator is not None:
        counts = {split: int(getattr(params.generator, split)) for split in SPLITS}
        frames = {m: sum(demo.LENGTHS[m]) / 2 for m in MODALITIES}
        names = {"regression": (), "classes": demo.CLASSES, "binary": demo.LABELS}[params.task]
        return Shapes(counts, demo.WIDTHS, frames, Task(params.task, names), None)
    return _of_published(name, params, encoder)


def _check_positions(positions: int | None, longest: int) -> None:
    if positions is not None and longest > positions:
        raise UserError(
            f"preprocess.max_frames.language: {longest} tokens; the encoder takes {positions} at most"
        )


def _of_manifest(manifest: Mapping[str, Any], encoder: tuple[Encoder, str] | None) -> Shapes:
    splits = manifest["splits"]
    widths = dict(manifest["widths"])
    if encoder is not None:
        widths["language"] = encoder[0].width
    return Shapes(
        counts={split: splits[split]["n"] for split in SPLITS},
        widths=widths,
        frames={m: max(1.0, splits["train"]["lengths"][m]["mean"]) for m in MODALITIES},
        task=Task(manifest["task"]["kind"], tuple(manifest["task"]["names"])),
        encoder=encoder,
    )


def _of_published(name: str, params: Preprocess, encoder: tuple[Encoder, str] | None) -> Shapes | None:
    found = of_preset(name, params.format, params.file)
    if found is None:
        return None
    dataset, form = found
    if params.task != dataset.task:
        # Its labels are made other ones: how many outputs that takes, the store will tell.
        return None
    counts = form.counts or _shared_out(form.total)
    widths = dict(form.widths)
    if params.text is not None:
        widths["language"] = encoder[0].width if encoder else traits(find(params.text.encoder)).width
    return Shapes(
        counts=dict(zip(SPLITS, counts, strict=True)),
        widths=widths,
        frames={m: float(getattr(params.max_frames, m)) for m in MODALITIES},
        task=Task(dataset.task, dataset.names),
        encoder=encoder,
    )


def _shared_out(total: int) -> tuple[int, int, int]:
    dev, test = (round(share * total) for share in _SHARES[1:])
    return total - dev - test, dev, test


def random_store(shapes: Shapes, max_frames: Mapping[str, int], samples: int) -> Store:
    """A store in memory of complete samples with random features, all splits alike.

    Args:
        max_frames: T of each modality.
        samples: of each split.
    """
    rng = np.random.default_rng(0)
    features, starts, lengths = {}, {}, {}
    for m in MODALITIES:
        length = min(max(1, round(shapes.frames[m])), max_frames[m])
        lengths[m] = np.full(samples, length, dtype=np.int64)
        starts[m] = np.arange(samples, dtype=np.int64) * length
        if m == "language" and shapes.encoder is not None:
            # Ids that any vocabulary has, all of segment 0.
            features[m] = np.stack([rng.integers(1, 10, samples * length), np.zeros(samples * length)], 1)
            features[m] = features[m].astype(np.int32)
        else:
            features[m] = rng.standard_normal((samples * length, shapes.widths[m])).astype(np.float32)
    split = Split(
        ids=[f"{i}" for i in range(samples)],
        labels=_labels(shapes.task, samples, rng),
        has=np.ones((samples, 3), dtype=np.bool_),
        features=features,
        starts=starts,
        lengths=lengths,
        ceiling=None,
    )
    manifest: dict[str, Any] = {"max_frames": dict(max_frames)}
    encoder = None
    if shapes.encoder is not None:
        encoder, manifest["encoder"] = shapes.encoder[0], {"checksum": shapes.encoder[1]}
    return Store(shapes.task, shapes.widths, manifest, dict.fromkeys(SPLITS, split), encoder)


def _labels(task: Task, n: int, rng: np.random.Generator) -> Any:
    if task.kind == "regression":
        return rng.normal(size=n).astype(np.float32)
    # Every class occurs.
    if task.kind == "classes":
        return np.arange(n) % task.classes
    return (np.arange(n)[:, None] + np.arange(task.records)) % 2
