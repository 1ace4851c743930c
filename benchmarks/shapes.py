"""The shapes that are measured: data, network and student of each, from the presets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cmad.config.load import load
from cmad.config.schema import Network, Preset, Student
from cmad.task import Task

ROOT = Path(__file__).parents[1]
SEED = 0
# MOSEI has 16265 training samples to 1869 of dev, IEMOCAP 2717 to 798.
MOSEI = (16265, 1869)
IEMOCAP = (2717, 798)


@dataclass(frozen=True)
class Lengths:
    """Frames of a sample, rounded draws of a gamma distribution; its three streams are equally long.

    Attributes:
        longest: T, where they are cut.
        mean, deviation: before the cut; a deviation of 0 makes all samples alike.
    """

    longest: int
    mean: float
    deviation: float


@dataclass(frozen=True)
class Shape:
    """What both implementations are given.

    Attributes:
        name: of its figures.
        title: of its rows.
        network, student: see ``cmad.config.schema``.
        task: what is predicted.
        widths: d of each modality; of language without meaning where it is tokens.
        lengths: of the samples.
        train, dev: samples.
        tokens: language is token ids of all-MiniLM-L6-v2, which is fine-tuned.
    """

    name: str
    title: str
    network: Network
    student: Student
    task: Task
    widths: Mapping[str, int]
    lengths: Lengths
    train: int
    dev: int
    tokens: bool = False


@cache
def preset(name: str) -> Preset:
    """A preset as it is committed."""
    return load(ROOT / "params.yaml").presets[name]


def _dev(train: int) -> int:
    """Dev samples that go with so many train samples at MOSEI's proportions."""
    return round(train * MOSEI[1] / MOSEI[0])


def mosei() -> Shape:
    """MOSEI with stored features: eight whole batches."""
    settings = preset("mosei")
    train = 8 * settings.student.batch
    return Shape(
        name="mosei",
        title="MOSEI, features",
        network=settings.network,
        student=settings.student,
        task=Task("regression"),
        widths={"language": 768, "audio": 74, "vision": 35},
        # A few percent of the sentences reach T; the mean after the cut is about 25.
        lengths=Lengths(50, 25.5, 12.5),
        train=train,
        dev=_dev(train),
    )


def minilm() -> Shape:
    """MOSEI with an encoder of six layers: fewer samples in smaller batches, for it takes long."""
    features = mosei()
    return replace(
        features,
        name="minilm",
        title="MOSEI, MiniLM fine-tuned",
        student=replace(features.student, batch=32),
        train=256,
        dev=_dev(256),
        tokens=True,
    )


def iemocap() -> Shape:
    """IEMOCAP: a narrow network, short streams, four binary labels; as many samples as it has."""
    settings = preset("iemocap")
    train, dev = IEMOCAP
    return Shape(
        name="iemocap",
        title="IEMOCAP, features",
        network=settings.network,
        student=settings.student,
        task=Task("binary", ("neutral", "happy", "sad", "angry")),
        widths={"language": 300, "audio": 74, "vision": 35},
        lengths=Lengths(20, 12.0, 7.0),
        train=train,
        dev=dev,
    )


def all_shapes() -> tuple[Shape, ...]:
    """Those that the project is compared at."""
    return mosei(), minilm(), iemocap()
