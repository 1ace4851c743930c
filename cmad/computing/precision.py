"""What the networks compute in: float32, or bfloat16 where ``torch.autocast`` takes it.

Weights, losses, optimiser and scores are in float32 either way, and so is what a network says.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from cmad.computing.device import repeatable
from cmad.errors import UserError

# Processors with products in bfloat16, as ``torch.cpu.get_capabilities`` calls them; the last is ARM's.
_PROCESSORS = ("avx512_bf16", "amx_bf16", "bf16")
_bf16: ContextVar[bool] = ContextVar("bf16", default=False)

Given = ParamSpec("Given")
Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """Inside this scope every ``forward_pass`` has that precision, and is ``repeatable`` to the bit.

    Args:
        precision: "float32" or "bf16".

    Raises:
        UserError: the device has no arithmetic in bfloat16.
    """
    if precision == "bf16" and not has_bf16(device):
        raise UserError(
            f"params.yaml: precision is bf16, but this {device.type} does not compute in it; "
            "set precision to float32"
        )
    before = _bf16.set(precision == "bf16")
    try:
        with repeatable(device):
            yield
    finally:
        _bf16.reset(before)


def forward_pass(
    method: Callable[Concatenate[Module, Given], Result],
) -> Callable[Concatenate[Module, Given], Result]:
    """Make a method of a module compute in the precision of the scope that it is called in.

    Every method through which losses and predictions come to a network needs it.
    """

    @wraps(method)
    def run(module: Module, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        if not _bf16.get():
            return method(module, *args, **kwargs)
        with _autocast(next(module.parameters()).device):
            return method(module, *args, **kwargs)

    return run


def in_full(layer: nn.Module, inputs: Tensor) -> Tensor:
    """A layer's outputs without autocast."""
    with torch.autocast(inputs.device.type, enabled=False):
        return layer(inputs)


@contextmanager
def _autocast(device: torch.device) -> Iterator[None]:
    # torch evaluates a transformer by a short cut that knows no autocast; it looks for that of a GPU alone.
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.autocast(device.type, torch.bfloat16):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in _PROCESSORS)


def product_dtype(rows: Tensor) -> torch.dtype:
    """What ``torch.autocast`` has products of rows in float32 computed in; without it their own."""
    device = rows.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else rows.dtype


def cast_to(kind: torch.dtype, tensor: Tensor) -> Tensor:
    """The tensor in a dtype; without a call of torch where it is in it, as everything is without autocast."""
    return tensor if tensor.dtype == kind else tensor.to(kind)


def single(tensor: Tensor) -> Tensor:
    """What is in bfloat16 in float32, all else as it is."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
