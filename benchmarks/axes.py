"""Along what the cost of a training is measured, from networks small enough to be fast."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from benchmarks.shapes import Lengths, Shape, mosei
from cmad.config.schema import PerModality
from cmad.task import Task


@dataclass(frozen=True)
class Axis:
    """One size, with all else held.

    Attributes:
        name: of the size.
        values: that are measured, rising.
        shape: of a value.
        per: what the time is of: the whole training of one epoch, or one step of it.
        time, memory: exponents that the formulas give as upper bounds.
        why: where they come from.
        seeds: the value is the number of students trained one after the other.
    """

    name: str
    values: tuple[int, ...]
    shape: Callable[[int], Shape]
    per: str
    time: float
    memory: float
    why: str
    seeds: bool = False


def _tiny(width: int, samples: int, batch: int, length: int) -> Shape:
    """MOSEI's shape shrunk: D = ``width``, depth 1, all streams of one length."""
    whole = mosei()
    network = replace(
        whole.network,
        width=width,
        depth=1,
        heads=2,
        head_width=8,
        kernels=PerModality(language=3, audio=1, vision=1),
        fusion_layers=1,
        fusion_feedforward=64,
    )
    return Shape(
        name="tiny",
        title="tiny",
        network=network,
        student=replace(whole.student, batch=batch, epochs=1),
        task=Task("regression"),
        widths={"language": 16, "audio": 8, "vision": 8},
        lengths=Lengths(length, length, 0.0),
        train=samples,
        dev=max(samples // 8, 8),
    )


def _of_samples(samples: int) -> Shape:
    return _tiny(width=16, samples=samples, batch=128, length=5)


def _of_length(length: int) -> Shape:
    return _tiny(width=64, samples=256, batch=64, length=length)


def _of_width(width: int) -> Shape:
    return _tiny(width=width, samples=64, batch=32, length=10)


def _of_batch(batch: int) -> Shape:
    return _tiny(width=32, samples=8 * batch, batch=batch, length=10)


def _of_seeds(seeds: int) -> Shape:
    del seeds
    return _tiny(width=16, samples=1024, batch=128, length=5)


_ALL = (
    Axis(
        "samples",
        (1024, 2048, 4096, 8192, 16384, 32768, 65536),
        _of_samples,
        "epoch",
        1.0,
        1.0,
        "each sample is seen once; its frames stay in their file, its outputs stay in memory",
    ),
    Axis(
        "length",
        (10, 20, 40, 80, 160, 320, 500),
        _of_length,
        "epoch",
        1.0,
        1.0,
        "latents read frames: N H dot products for each, none between frames",
    ),
    Axis(
        "D",
        (30, 64, 128, 256, 512, 1024),
        _of_width,
        "epoch",
        2.0,
        2.0,
        "products of width D by D, weights D by D",
    ),
    Axis(
        "batch",
        (32, 64, 128, 256, 512),
        _of_batch,
        "step",
        1.0,
        1.0,
        "each sample by itself; only CAFD's similarities, B by B numbers, are not",
    ),
    Axis(
        "seeds",
        (1, 2, 4, 8),
        _of_seeds,
        "stage",
        1.0,
        1.0,
        "one student after the other",
        seeds=True,
    ),
)
AXES: Mapping[str, Axis] = {axis.name: axis for axis in _ALL}
