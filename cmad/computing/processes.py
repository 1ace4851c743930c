"""One training on several processes, each with a part of the encoding (``torchrun``, ``docs/scale.md``).

All processes have the same weights and go through the same batches. Each encodes its share of the
present streams of a batch, which is nearly all of the work; the tokens are gathered, and from there on
every process does the same: fusion, losses with all their relations between the samples, memory banks.
So no system needs to know. The first process alone writes.

Environment variables of ``torchrun`` say how many there are; without them this is one process, and
torch.distributed is not imported.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def count() -> int:
    """W, how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Inside this scope the processes can talk to each other; nothing where there is one."""
    if count() == 1:
        yield
        return
    import torch.distributed as dist

    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(rows: int) -> slice:
    """This process's part of so many rows; the parts stand in the order of the processes."""
    each = -(-rows // count())
    start = min(rows, rank() * each)
    return slice(start, min(rows, start + each))


def gathered(own: Tensor, rows: int) -> Tensor:
    """All rows from every process's own ones, in order; the gradient finds its way back.

    Args:
        own: [the length of ``share(rows)``, D].
        rows: P.

    Returns:
        [P, D], the same in all processes.
    """
    return own if count() == 1 else _Gathered.apply(own, rows)  # type: ignore[no-untyped-call]


def shared_loss(loss: Tensor) -> Tensor:
    """The loss to differentiate: each process has the whole of it, and their gradients are added."""
    return loss / count() if count() > 1 else loss


def add_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients; nothing where there is one."""
    if count() == 1:
        return
    import torch.distributed as dist

    # One message for all of them.
    found = [weight.grad for weight in weights if weight.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in found])
    dist.all_reduce(together)
    parts = torch.split(together, [gradient.numel() for gradient in found])
    for gradient, summed in zip(found, parts, strict=True):
        gradient.copy_(summed.view_as(gradient))


class _Gathered(torch.autograd.Function):
    """Forward: the shares of all processes, one after the other. Backward: the own rows' summed gradient."""

    @staticmethod
    def forward(_ctx: Any, own: Tensor, rows: int) -> Tensor:
        import torch.distributed as dist

        # Shares differ by a row at most; collectives want equal ones.
        each = -(-rows // count())
        padded = own.new_zeros(each, own.shape[1])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(count())]
        dist.all_gather(parts, padded)
        return torch.cat(parts)[:rows]

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        import torch.distributed as dist

        (gradient,) = gradients
        summed = gradient.contiguous()
        dist.all_reduce(summed)
        return summed[share(len(summed))], None
