"""Small splits in memory, networks with settled weights, and the settings that go with them."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from cmad.combinations import MODALITIES
from cmad.computing.randomness import torch_seeded
from cmad.config.schema import Network as Settings
from cmad.config.schema import Optimiser, PerModality, Student
from cmad.network.network import Network
from cmad.store.store import Split
from cmad.task import Task

WIDTHS = {"language": 5, "audio": 3, "vision": 4}
LONGEST = 6
LENGTHS = dict.fromkeys(MODALITIES, LONGEST)

CPU = torch.device("cpu")


def kernels(language: int, audio: int, vision: int) -> PerModality:
    """Conv1d kernel sizes."""
    return PerModality(language=language, audio=audio, vision=vision)


# Heads and head width differ, and neither is the number of latents, so that no mix-up stays hidden.
SMALL = Settings(
    width=8,
    depth=2,
    latents=3,
    heads=2,
    head_width=5,
    kernels=kernels(3, 1, 1),
    fusion_layers=2,
    fusion_feedforward=16,
    transformer_dropout=0.1,
    fusion_dropout=0.3,
    perceiver_dropout=0.0,
    attend_padding=False,
)

STUDENT = Student(
    optimiser=Optimiser(
        name="adamw", learning_rate=1e-3, weight_decay=1e-4, milestones=(), clip=None, renew_each_epoch=False
    ),
    batch=8,
    micro_batch=None,
    epochs=2,
    dropout_off=True,
    sampler="authors",
    select="average",
    task_weight=1.0,
    sigma=0.5,
    gamma=0.7,
    tau=0.2,
    consistency="full",
    rho=20.0,
    warmup=1,
    weigh="both",
    subtract_teacher=True,
    weights="all",
    unseen_weight=0.0,
    alpha=0.8,
    temperature=2.0,
    phi=7.0,
)


def ragged_lengths(samples: int = 6) -> st.SearchStrategy[NDArray[np.int64]]:
    """Lengths [n, 3] up to LONGEST, 0 for a modality that a sample lacks; none lacks all."""
    one = st.tuples(*[st.integers(0, LONGEST)] * 3).filter(any)
    return st.lists(one, min_size=1, max_size=samples).map(lambda rows: np.array(rows, dtype=np.int64))


def random_lengths(samples: int, rng: np.random.Generator, missing: float = 0.25) -> NDArray[np.int64]:
    """Lengths [n, 3]; a share of audio and vision is natively missing."""
    lengths = rng.integers(1, LONGEST + 1, (samples, 3))
    lengths[:, 1:] *= rng.random((samples, 2)) >= missing
    return lengths


def make_split(lengths: NDArray[np.int64], seed: int = 0, task: Task | None = None) -> Split:
    """Normal features and random labels for samples of these lengths [n, 3].

    Frames stand in the features in an order of their own, between frames of no sample.
    """
    rng = np.random.default_rng(seed)
    n = len(lengths)
    features, starts = {}, {}
    for m, modality in enumerate(MODALITIES):
        order = rng.permutation(n)
        places = np.empty(n, np.int64)
        places[order] = np.cumsum(lengths[order, m] + 1) - lengths[order, m]
        starts[modality] = places
        shape = (int(lengths[:, m].sum()) + n + 1, WIDTHS[modality])
        features[modality] = rng.normal(size=shape).astype(np.float32)
    return Split(
        ids=[f"sample {i}" for i in range(n)],
        labels=_labels(task or Task("regression"), n, rng),
        has=lengths > 0,
        features=features,
        starts=starts,
        lengths={modality: lengths[:, m] for m, modality in enumerate(MODALITIES)},
        ceiling=None,
    )


def _labels(task: Task, n: int, rng: np.random.Generator) -> NDArray[Any]:
    if task.kind == "regression":
        return rng.normal(size=n).astype(np.float32)
    if task.kind == "classes":
        return rng.integers(0, task.classes, n)
    return rng.integers(0, 2, (n, task.records))


def draw_masks(has: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """For each sample a random subset of what it has, not empty: [n, 3]."""
    masks = has & (rng.random(has.shape) < 0.6)
    masks[~masks.any(1)] = has[~masks.any(1)]
    return masks


def make_network(seed: int = 0, task: Task | None = None, spread: float = 0.3, **changes: Any) -> Network:
    """A small network in eval mode whose weights are all random, those of the norms too.

    At fresh weights gains are 1 and shifts 0, which would hide what is done with them. The wider
    the spread, the more the network amplifies rounding: at 0.3 float32 gives up to five digits, at
    0.15 it gives six.
    """
    with torch_seeded(seed, "test weights"):
        network = Network(replace(SMALL, **changes), WIDTHS, LENGTHS, (task or Task("regression")).outputs)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                noise = torch.randn(weight.shape) * spread
                weight.copy_(1 + noise if "norm" in name and name.endswith("weight") else noise)
    return network.eval()
