"""One student epoch with its evaluation, by this project and by the plain implementation."""

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import dense
from benchmarks.clock import Seconds, now
from benchmarks.shapes import SEED, Shape
from benchmarks.stores import write_store
from cmad.combinations import MASKS, SAMPLERS, combination_index, draw_combinations
from cmad.computing.device import on_device
from cmad.computing.randomness import generator, torch_seeded
from cmad.methods.cmad import Cmad
from cmad.network.dropout import mask
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.store.store import Store
from cmad.training.checkpoint import build_network
from cmad.training.fit import Judge, Plan, fit
from cmad.training.optimiser import create_optimiser
from cmad.training.teacher_cache import TeacherCache, teacher_cache

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A shape with its data.

    Attributes:
        teacher: frozen, in eval mode; its weights are untrained.
        cache: its outputs on train.
        caching: what making them took.
        device: where all is computed.
    """

    shape: Shape
    store: Store
    teacher: Network
    cache: TeacherCache
    caching: Seconds
    device: torch.device = CPU


@dataclass(frozen=True)
class Padded:
    """Both splits in memory, as the plain implementation wants them."""

    train: dense.Padded
    dev: dense.Padded


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


def prepare(shape: Shape, folder: Path, device: torch.device = CPU) -> Case:
    """Write the data into ``folder`` and run the teacher over it."""
    store = write_store(folder, shape)
    teacher = fresh_network(shape, store, "teacher", device).eval().requires_grad_(False)
    start = now(device)
    cache = teacher_cache(teacher, store.splits["train"], store.task, shape.student.batch, device)
    return Case(shape, store, teacher, cache, now(device) - start, device)


def padded(case: Case) -> Padded:
    """The data as the plain implementation wants it."""
    lengths = case.store.manifest["max_frames"]
    splits = (dense.pad(case.store.splits[name], lengths) for name in ("train", "dev"))
    return Padded(*(split.to(case.device) for split in splits))


def fresh_network(shape: Shape, store: Store, purpose: str, device: torch.device = CPU) -> Network:
    """A network with the initial weights of this purpose ("teacher", "student").

    A language encoder's own dropout is off: its masks have the shape of what is encoded at once, which
    differs between implementations.
    """
    with torch_seeded(SEED, purpose):
        network = build_network(shape.network, store)
    for module in [] if network.encoder is None else network.encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.to(device)


def train(case: Case, student: Network, judge: Judge) -> Mapping[str, float]:
    """One epoch of the project's own training loop; its log."""
    settings, split = case.shape.student, case.store.splits["train"]
    method = Cmad(student, settings, case.store.task, SAMPLERS[settings.sampler])
    plan = Plan(settings.optimiser, settings.batch, 1, settings.dropout_off, SEED, "benchmark")
    return fit(method, split, np.arange(len(split)), case.cache, judge, plan, case.device).log[0]


def project_epoch(case: Case) -> Epoch:
    """This project's own training loop and evaluation, from fresh weights."""
    device, dev = case.device, case.store.splits["dev"]
    student = fresh_network(case.shape, case.store, "student", device)
    moments, outputs = [], []

    def judge(epoch: int) -> tuple[float, Mapping[str, float]]:
        moments.append(now(device))
        outputs.append(predict_combinations(student, dev, case.shape.student.batch, device).outputs)
        moments.append(now(device))
        return float(epoch), {}

    gc.collect()
    start = now(device)
    log = train(case, student, judge)
    evaluation = moments[1] - moments[0]
    losses = {name: log[f"loss_{name}"] for name in ("task", "cafd", "auxiliary")}
    return Epoch(now(device) - start - evaluation, evaluation, losses, outputs[0])


class _ProjectDropout(nn.Module):
    # In the place of a stock layer's ReLU: that and its dropout as the project draws it.

    def __init__(self, p: float) -> None:
        super().__init__()
        # As ``ReluDropout`` rounds it.
        self.p = round(p * 2**16) / 2**16

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs.relu()
        if not self.training:
            return hidden
        # The project draws for features outermost, [W, R] (``cmad.network.feed_forward``).
        drawn = mask(hidden.flatten(0, -2).t().contiguous(), self.p).t().view_as(hidden)
        return hidden * drawn / (1 - self.p)


def with_project_dropout(network: Network) -> Network:
    """The network with stock fusion layers that draw the dropout behind their ReLU as the project does."""
    for layer in network.fusion.transformer.layers:
        assert isinstance(layer, nn.TransformerEncoderLayer)
        layer.activation, layer.dropout.p = _ProjectDropout(layer.dropout.p), 0.0
    return network


def plain_epoch(case: Case, data: Padded, student: Network) -> Epoch:
    """The same by ``benchmarks.dense``: same batches and combinations, a new optimiser, the weights kept.

    Args:
        data: padded beforehand and not at the plain implementation's expense.
        student: from ``fresh_network``; ``with_project_dropout`` to get the losses of ``project_epoch``.
    """
    settings = case.shape.student
    gc.collect()
    start = now(case.device)
    optimiser = create_optimiser(student, settings.optimiser)
    pair = dense.Pair(student, case.teacher, settings, case.store.task)
    with torch_seeded(SEED, "dropout", 0):
        losses = dense.train_epoch(pair, data.train, steps(case), optimiser)
    middle = now(case.device)
    outputs = dense.evaluate(student, data.dev, settings.batch).cpu().numpy()
    evaluation = now(case.device) - middle
    # As every training that is to end with its best epoch.
    _ = {name: weight.clone() for name, weight in student.state_dict().items()}
    return Epoch(now(case.device) - start - evaluation, evaluation, losses, outputs)


def steps(case: Case) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """The batches of ``cmad.training.fit`` in its epoch 0: rows, masks, combinations."""
    split, settings = case.store.splits["train"], case.shape.student
    order = generator(SEED, "order").permutation(len(split))
    chances = SAMPLERS[settings.sampler]
    masks = MASKS[draw_combinations(split.has[order], chances, generator(SEED, "combinations"))]
    for start in range(0, len(order), settings.batch):
        chosen = slice(start, start + settings.batch)
        own = masks[chosen]
        yield order[chosen], on_device(own, case.device), on_device(combination_index(own), case.device)


def shown_share(case: Case) -> float:
    """Share of all (sample, modality) pairs that the epoch's combinations show."""
    return float(np.concatenate([masks.cpu().numpy() for _, masks, _ in steps(case)]).mean())


def disagreement(first: Epoch, second: Epoch) -> float:
    """The largest difference between two epochs' losses and dev outputs."""
    losses = max(abs(value - second.losses[name]) for name, value in first.losses.items())
    return max(losses, float(np.abs(first.outputs - second.outputs).max()))
