"""One training on several processes, each with a part of the encoding (``torchrun``, ``docs/scale.md``).

All processes have the same weights and go through the same batches. Each encodes its share of the
present streams of a batch, which is nearly all of the work; the tokens are gathered, and from there on
every process works on the whole batch: fusion, losses with all their relations between the samples, memory
banks. So no system needs to know. The first process alone writes.

What a process draws in its share, that is the dropout of a fine-tuned encoder, moves its generator on, so
the fusion's dropout after it is each process's own too, and so are the numbers in its banks. The gradient
is then the mean over the processes' draws. Without such dropout every process does the same.

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
    """This process's part of so many rows; the parts stand in the order of the processes.

    Parts differ by a row at most, and are empty where there are more processes than rows.
    """
    each, more = divmod(rows, count())
    start = rank() * each + min(rank(), more)
    return slice(start, start + each + (rank() < more))


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

    # One message for all of them, of the same length everywhere: a process without rows to encode has no
    # gradient of the encoder. What has none in any process keeps none, for the optimiser passes over it.
    trained = [weight for weight in weights if weight.requires_grad]
    own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in trained]
    known = own[0].new_tensor([weight.grad is not None for weight in trained])
    together = torch.cat([known, *(gradient.flatten() for gradient in own)])
    dist.all_reduce(together)
    known, *parts = torch.split(together, [len(trained), *(gradient.numel() for gradient in own)])
    for weight, processes, summed in zip(trained, known.tolist(), parts, strict=True):
        if processes:
            weight.grad = summed.view_as(weight)


class _Gathered(torch.autograd.Function):
    """Forward: the shares of all processes, one after the other. Backward: the own rows' summed gradient."""

    @staticmethod
    def forward(_ctx: Any, own: Tensor, rows: int) -> Tensor:
        import torch.distributed as dist

        # Shares differ by a row at most, the first ones having more; collectives want equal ones.
        each, more = divmod(rows, count())
        padded = own.new_zeros(each + (more > 0), own.shape[1])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(count())]
        dist.all_gather(parts, padded)
        return torch.cat([part[: each + (process < more)] for process, part in enumerate(parts)])

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        import torch.distributed as dist

        (gradient,) = gradients
        summed = gradient.contiguous()
        dist.all_reduce(summed)
        return summed[share(len(summed))], None
