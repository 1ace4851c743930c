"""One student epoch with its evaluation, by this project and by the plain implementation."""

import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import dense
from benchmarks.setting import SEED, fresh_network, student_settings
from cmad.combinations import MASKS, SAMPLERS, combination_index, draw_combinations
from cmad.methods.cmad import Cmad
from cmad.network.network import Network
from cmad.predictions import predict_combinations
from cmad.randomness import generator, torch_seeded
from cmad.store.store import Split, Store
from cmad.training.fit import Plan, fit
from cmad.training.optimiser import create_optimiser
from cmad.training.teacher_cache import TeacherCache

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Seconds:
    """A moment, or the time between two.

    Attributes:
        wall: by the clock on the wall.
        processor: of this process alone, all threads together; other processes disturb it less.
    """

    wall: float
    processor: float

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall - other.wall, self.processor - other.processor)

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.processor + other.processor)


def now() -> Seconds:
    """This moment."""
    return Seconds(time.perf_counter(), time.process_time())


@dataclass(frozen=True)
class Epoch:
    """One epoch by one implementation.

    Attributes:
        training, evaluation: what they took.
        losses: the mean of each term over the epoch.
        outputs: z of the dev samples after it, [7, n, K].
    """

    training: Seconds
    evaluation: Seconds
    losses: Mapping[str, float]
    outputs: NDArray[np.float32]

    @property
    def whole(self) -> Seconds:
        """Training and evaluation."""
        return self.training + self.evaluation


def frozen_teacher(store: Store) -> Network:
    """A teacher in eval mode. Its weights are untrained: what is timed does not look at them."""
    return fresh_network(store, "teacher").eval().requires_grad_(False)


def project_epoch(store: Store, cache: TeacherCache) -> Epoch:
    """This project's own training loop and evaluation, from fresh weights."""
    settings, dev, train = student_settings(), store.splits["dev"], store.splits["train"]
    student = fresh_network(store, "student")
    method = Cmad(student, settings, store.task, SAMPLERS["authors"])
    moments, outputs = [], []

    def judge(epoch: int) -> tuple[float, Mapping[str, float]]:
        moments.append(now())
        outputs.append(predict_combinations(student, dev, settings.batch, CPU).outputs)
        moments.append(now())
        return float(epoch), {}

    plan = Plan(settings.optimiser, settings.batch, 1, settings.dropout_off, SEED, "benchmark")
    gc.collect()
    start = now()
    log = fit(method, train, np.arange(len(train)), cache, judge, plan, CPU).log[0]
    evaluation = moments[1] - moments[0]
    losses = {name: log[f"loss_{name}"] for name in ("task", "cafd", "auxiliary")}
    return Epoch(now() - start - evaluation, evaluation, losses, outputs[0])


def plain_epoch(store: Store, teacher: Network, train: dense.Padded, dev: dense.Padded) -> Epoch:
    """The same by ``benchmarks.dense``: same initial weights, batches, combinations and dropout.

    Args:
        train, dev: both splits, padded beforehand and not at the plain implementation's expense.
    """
    settings = student_settings()
    student = fresh_network(store, "student")
    optimiser = create_optimiser(student, settings.optimiser)
    pair = dense.Pair(student, teacher, settings, store.task)
    gc.collect()
    start = now()
    with torch_seeded(SEED, "dropout", 0):
        losses = dense.train_epoch(pair, train, _steps(store.splits["train"], settings.batch), optimiser)
    middle = now()
    outputs = dense.evaluate(student, dev, settings.batch).numpy()
    return Epoch(middle - start, now() - middle, losses, outputs)


def _steps(split: Split, batch: int) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """The batches of ``cmad.training.fit`` in its epoch 0: rows, masks, combinations."""
    order = generator(SEED, "order").permutation(len(split))
    chances = SAMPLERS[student_settings().sampler]
    masks = MASKS[draw_combinations(split.has[order], chances, generator(SEED, "combinations"))]
    for start in range(0, len(order), batch):
        chosen = slice(start, start + batch)
        own = masks[chosen]
        yield order[chosen], torch.from_numpy(own), torch.from_numpy(combination_index(own))


def shown_share(split: Split) -> float:
    """Share of all (sample, modality) pairs that the epoch's combinations show."""
    shown = [masks.numpy() for _, masks, _ in _steps(split, 128)]
    return float(np.concatenate(shown).mean())


def disagreement(first: Epoch, second: Epoch) -> float:
    """The largest difference between two epochs' losses and dev outputs."""
    losses = max(abs(value - second.losses[name]) for name, value in first.losses.items())
    return max(losses, float(np.abs(first.outputs - second.outputs).max()))
