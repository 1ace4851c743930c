"""What a training step and a prediction cost here, from a few steps on random batches."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn

from cmad.combinations import COMBINATIONS, FULL
from cmad.config.schema import Network as Settings
from cmad.config.schema import Optimiser, Student
from cmad.methods.method import Method
from cmad.methods.task_only import TaskOnly
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.planning.shapes import Shapes, random_store
from cmad.store.store import Store
from cmad.students.student import create_method
from cmad.training.checkpoint import build_network
from cmad.training.fit import Plan, fit
from cmad.training.teacher_cache import TeacherCache

# Batches grow fourfold until one calibration has taken so many seconds; the rest is extrapolated.
_FIRST, _GROWTH, _SECONDS = 4, 4, 2.0
# The first epoch warms up; of the others the quickest counts, for what else runs only slows.
_STEPS, _EPOCHS = 1, 3
# Predictions grow until one takes so many seconds, or holds so many samples.
_QUICK, _LARGEST = 0.5, 256


def teacher_method(
    shapes: Shapes, settings: Settings, max_frames: Mapping[str, int], micro_batch: int | None
) -> TaskOnly:
    """A fresh teacher in training."""
    store = random_store(shapes, max_frames, 1)
    return TaskOnly(build_network(settings, store, micro_batch), shapes.task, None)


def student_method(
    name: str,
    shapes: Shapes,
    settings: Settings,
    student: Student,
    options: Mapping[str, object],
    max_frames: Mapping[str, int],
    combination: int | None,
    device: torch.device,
) -> Method:
    """A fresh student of any system, beside a teacher with random weights.

    Raises:
        UserError: the system refuses its options, or to be customised.
    """
    store = random_store(shapes, max_frames, 8)
    teacher = build_network(settings, store).to(device).eval().requires_grad_(False)
    return create_method(name, store, settings, student, options, teacher, combination, 0, device)


def step_seconds(
    method: Method,
    shapes: Shapes,
    max_frames: Mapping[str, int],
    optimiser: Optimiser,
    batch: int,
    device: torch.device,
    taught: bool,
) -> float:
    """Seconds of one step of a batch: measured on growing batches, the last two extrapolated to ``batch``.

    Args:
        method: what to train; its weights are changed.
        taught: whether a teacher's outputs are part of a step.
    """
    known: list[tuple[int, float]] = []
    size, spent = min(_FIRST, batch), time.perf_counter()
    while True:
        known.append((size, _measured(method, shapes, max_frames, optimiser, size, device, taught)))
        late = time.perf_counter() - spent > _SECONDS
        if size == batch or (late and len(known) > 1):
            break
        size = min(size * _GROWTH, batch)
    return extrapolated(known, batch)


def extrapolated(known: Sequence[tuple[int, float]], batch: int) -> float:
    """Seconds at ``batch`` on the line through the last two of (batch, seconds), never below the last."""
    (b, t), (before, t_before) = known[-1], known[-2] if len(known) > 1 else known[-1]
    if b in (batch, before):
        return t
    slope = max(0.0, (t - t_before) / (b - before))
    return t + slope * (batch - b)


def predict_seconds(
    network: Network, shapes: Shapes, max_frames: Mapping[str, int], device: torch.device
) -> tuple[float, float]:
    """Seconds to predict one sample under all seven combinations, and under LAV alone."""
    every = range(len(COMBINATIONS))
    size = _FIRST
    while _once(network, shapes, max_frames, size, device, every) < _QUICK and size < _LARGEST:
        size *= _GROWTH
    seven, full = (_once(network, shapes, max_frames, size, device, c) / size for c in (every, (FULL,)))
    return seven, full


def _once(
    network: Network,
    shapes: Shapes,
    max_frames: Mapping[str, int],
    size: int,
    device: torch.device,
    combinations: Sequence[int],
) -> float:
    split = random_store(shapes, max_frames, size).splits["test"]
    start = time.perf_counter()
    predict_combinations(network, split, size, device, combinations)
    return time.perf_counter() - start


def count(module: nn.Module) -> tuple[int, int]:
    """Weights of a network in all, and those of its language encoder."""
    encoder = getattr(module, "encoder", None)
    of_encoder = encoder.parameters() if isinstance(encoder, nn.Module) else ()
    return sum(w.numel() for w in module.parameters()), sum(w.numel() for w in of_encoder)


def _measured(
    method: Method,
    shapes: Shapes,
    max_frames: Mapping[str, int],
    optimiser: Optimiser,
    batch: int,
    device: torch.device,
    taught: bool,
) -> float:
    store = random_store(shapes, max_frames, batch * _STEPS)
    ends: list[float] = []

    def judge(_: int) -> tuple[float, Mapping[str, float]]:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        ends.append(time.perf_counter())
        return 0.0, {}

    cache = _random_cache(method.network, store, device) if taught else None
    train = store.splits["train"]
    # Steps so small that random labels do not drive the weights away.
    plan = Plan(replace(optimiser, learning_rate=1e-9), batch, _EPOCHS, False, 0, "calibration")
    rows = torch.arange(len(train)).numpy()
    fit(method, train, rows, cache, judge, plan, device)
    return min(end - start for start, end in pairwise(ends)) / _STEPS


def _random_cache(network: Network, store: Store, device: torch.device) -> TeacherCache:
    n, classifier = len(store.splits["train"]), network.classifier
    return TeacherCache(
        torch.rand(n, classifier.in_features, device=device),
        torch.randn(n, classifier.out_features, device=device),
        torch.rand(n, store.task.records, device=device),
    )
