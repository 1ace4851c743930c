"""What a system adds to the shared training loop (``cmad.training.fit``).

A system is one file of this folder with a function ``create(context) -> Method``; its name in
``params.yaml`` is the name of the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cmad.batches import Batch
from cmad.config.schema import Student
from cmad.network.network import Network
from cmad.task import Task


@dataclass(frozen=True)
class Context:
    """What a system may build itself from.

    Attributes:
        network: a student with its initial weights.
        teacher: the trained teacher, frozen, in eval mode.
        settings: the student section, the variant's overrides applied.
        task: what is predicted.
    """

    network: Network
    teacher: Network
    settings: Student
    task: Task


@dataclass(frozen=True)
class TeacherRows:
    """The frozen teacher's cached say on the complete samples of a batch.

    Attributes:
        representation: E^t [C, D].
        outputs: z^t [C, K].
        loss: D^{t,g}, its task loss [C * records] (Eq. 6).
    """

    representation: Tensor
    outputs: Tensor
    loss: Tensor


@dataclass(frozen=True)
class Step:
    """One training batch.

    Attributes:
        batch: the wanted (sample, modality) pairs and the labels of B samples.
        masks: bool [B, 3], the modalities that the network is to see.
        combinations: int64 [B], indices into COMBINATIONS.
        complete: bool [B], True on the C samples that natively have all modalities.
        teacher: its outputs on those C samples; None in the training of the teacher itself.
    """

    batch: Batch
    masks: Tensor
    combinations: Tensor
    complete: Tensor
    teacher: TeacherRows | None


class Method(Protocol):
    """A system in training.

    Attributes:
        network: what is selected on dev, kept and evaluated.
        trained: all modules that the optimiser updates; None where there is nothing to train.
        sampler: chances of the combinations [7], or None to show each sample all it has.
    """

    @property
    def network(self) -> Network: ...  # noqa: D102
    @property
    def trained(self) -> nn.Module | None: ...  # noqa: D102
    @property
    def sampler(self) -> NDArray[np.float64] | None: ...  # noqa: D102

    def begin_epoch(self, epoch: int) -> None:
        """Called before the first step of each epoch, counted from 0."""

    def losses(self, step: Step, /) -> Mapping[str, Tensor]:
        """The terms of the loss, each with its factor: what is minimised is their sum."""

    def end_epoch(self) -> Mapping[str, float]:
        """Called after the last step; extra columns for the epoch's row of the log."""


def creator(name: str) -> Callable[[Context], Method]:
    """The ``create`` function of the system of that name; only its own module is imported."""
    return cast(Callable[[Context], Method], import_module(f"cmad.methods.{name}").create)
