"""What growth is measured on: a stage's training of its students for one epoch, on a tiny network.

``python -m benchmarks.point AXIS VALUE`` prints its peak of memory in MiB. It has a process of its own.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.axes import AXES, Axis
from benchmarks.clock import now
from benchmarks.epochs import prepare
from benchmarks.memory import ALLOCATOR, peak_of
from benchmarks.shapes import ROOT
from cmad.computing.randomness import torch_threads
from cmad.config.schema import Keep
from cmad.students.students import Recipe, train_students
from cmad.training.checkpoint import checkpoint_name, save_network
from cmad.training.teacher_cache import cache_name, save_cache

# Whatever the suite has: it is how costs grow that is asked.
THREADS = 1


def training(axis: Axis, value: int, folder: Path) -> Callable[[], None]:
    """Write store and teachers into ``folder``; what trains the students on them, repeatedly."""
    shape = axis.shape(value)
    seeds = tuple(range(value if axis.seeds else 1))
    case = prepare(shape, folder / "store")
    for seed in seeds:
        weights = case.teacher.state_dict()
        save_network(folder / "teacher" / checkpoint_name(seed), weights, shape.network, case.store)
        save_cache(folder / "teacher" / cache_name(seed), case.cache)
    keep = Keep(weights="full", drop_ratios=(), seed=0)
    recipe = Recipe("cmad", {}, shape.network, shape.student, keep, seeds, THREADS, "cpu", "float32")

    def train() -> None:
        train_students(recipe, folder / "store", folder / "teacher", folder / "students", customised=False)

    return train


def seconds(axis: Axis, repeats: int) -> list[float]:
    """Processor seconds by value, the median of some runs, of the whole or of a step, as the axis has it.

    All values in turn, again and again, so that a loud minute of the machine does not meet one of them alone.
    """
    with tempfile.TemporaryDirectory() as name, torch_threads(THREADS):
        trainings = [training(axis, value, Path(name) / str(value)) for value in axis.values]
        rounds = [[_processor(train) for train in trainings] for _ in range(repeats)]
    shapes = [axis.shape(value) for value in axis.values]
    parts = [each.train / each.student.batch if axis.per == "step" else 1.0 for each in shapes]
    return [statistics.median(own) / part for own, part in zip(zip(*rounds, strict=True), parts, strict=True)]


def _processor(train: Callable[[], None]) -> float:
    start = now()
    train()
    return (now() - start).processor


def peak(axis: Axis, value: int) -> float:
    """Peak of memory in a fresh process, MiB beyond what it held after a first small training."""
    command = [sys.executable, "-m", "benchmarks.point", axis.name, str(value)]
    environment = os.environ | ALLOCATOR
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    return float(done.stdout)


def _main(axis: Axis, value: int) -> None:
    with tempfile.TemporaryDirectory() as name, torch_threads(THREADS):
        # What is loaded on first use is not what grows.
        training(axis, axis.values[0], Path(name) / "first")()
        train = training(axis, value, Path(name) / "point")
        print(peak_of(train))


if __name__ == "__main__":
    _main(AXES[sys.argv[1]], int(sys.argv[2]))
