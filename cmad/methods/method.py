"""What a system adds to the shared training loop (``cmad.training.fit``).

A system is one file of this folder with a function ``create(context) -> Method``; its name in
``params.yaml`` is the name of the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmad.combinations import SAMPLERS
from cmad.config.load import PRESETS
from cmad.config.schema import Student
from cmad.config.values import check_value
from cmad.errors import UserError
from cmad.network.network import Network
from cmad.store.batches import Batch
from cmad.store.store import Split
from cmad.task import Task

Options = TypeVar("Options")


@dataclass(frozen=True)
class Context:
    """What a system may build itself from.

    Attributes:
        network: a student with its initial weights.
        teacher: the trained teacher, frozen, in eval mode.
        settings: the student section, the variant's overrides applied.
        options: the system's own section of the preset, ``systems.<system>``; see ``read_options``.
        task: what is predicted.
        widths, lengths: d and T of each modality.
        dev: the dev split, for systems that look at it while they train.
        combination: index into COMBINATIONS of the one combination that a customised model is for;
            None for a unified one.
        device: where the network lives.
    """

    network: Network
    teacher: Network
    settings: Student
    options: Mapping[str, Any]
    task: Task
    widths: Mapping[str, int]
    lengths: Mapping[str, int]
    dev: Split
    combination: int | None
    device: torch.device


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
        memory: all that it remembers from one epoch to the next beside the weights of ``trained``; the
            loop keeps it with them, and puts it back where an interrupted training goes on.
    """

    @property
    def network(self) -> Network: ...  # noqa: D102
    @property
    def trained(self) -> nn.Module | None: ...  # noqa: D102
    @property
    def sampler(self) -> NDArray[np.float64] | None: ...  # noqa: D102
    @property
    def memory(self) -> dict[str, Tensor]: ...  # noqa: D102

    def wanted(self, has: NDArray[np.bool_], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which (sample, modality) pairs a step is to hold.

        Args:
            has: [n, 3], what the samples natively have.
            masks: [n, 3], what the network is to see of them.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Called before the first step of each epoch, counted from 0."""

    def losses(self, step: Step, /) -> Mapping[str, Tensor]:
        """The terms of the loss, each with its factor: what is minimised is their sum."""

    def end_epoch(self) -> Mapping[str, float]:
        """Called after the last step; extra columns for the epoch's row of the log."""


def creator(name: str) -> Callable[[Context], Method]:
    """The ``create`` function of the system of that name; only its own module is imported.

    Raises:
        UserError: there is no such system, or its file imports what is not installed.
    """
    module, file = f"cmad.methods.{name}", f"cmad/methods/{name}.py"
    without = f"take {name} out of params.yaml"
    absent = f"{file}: no such system; write the file, or {without}"
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise UserError(absent) from None
        # Raised by hand, so that its own words say more.
        if error.name is None:
            raise
        raise UserError(
            f"{file}: imports {error.name}, which is not there; install or correct it, or {without}"
        ) from None
    if not hasattr(found, "create"):
        raise UserError(absent)
    return cast(Callable[[Context], Method], found.create)


def chances(context: Context) -> NDArray[np.float64]:
    """The sampler of the settings, or the one combination of a customised model, [7]."""
    if context.combination is None:
        return SAMPLERS[context.settings.sampler]
    return np.eye(7)[context.combination]


def read_options(kind: type[Options], context: Context) -> Options:
    """A system's own section as its frozen dataclass (see ``cmad.config.schema`` for the fields' ranges).

    Raises:
        UserError: an unknown or missing key, a value that is not allowed; one line per problem.
    """
    problems: list[str] = []
    options = check_value(kind, {}, context.options, "systems.<system>", problems)
    if problems:
        raise UserError("\n".join(f"{PRESETS}/<data set>.yaml: {problem}" for problem in problems))
    return cast(Options, options)
