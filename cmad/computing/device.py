"""Where tensors live, and how a GPU is made to compute the same bits again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from cmad.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device that the params name; "auto" takes a GPU where there is one.

    Raises:
        UserError: cuda is asked for and absent.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise UserError(
                "params.yaml: device is cuda, but torch finds no GPU here; set device to auto or cpu"
            )
        _fix_workspace()
    return torch.device(name)


def on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor; what a GPU still has to do before is not waited for."""
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        # torch keeps pinned memory until the GPU has read it.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside this scope a GPU gives the same bits each time; a processor does so anyway, and nothing changes.

    What torch cannot repeat raises a RuntimeError there. Products of float32 numbers are products in
    float32, not in the shorter TF32 that convolutions would otherwise take.
    """
    if device.type != "cuda":
        yield
        return
    _fix_workspace()
    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    # Neither is known to torch's own type hints.
    memory: Any = torch.utils.deterministic
    products: Any = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    fills = memory.fill_uninitialized_memory
    precisions = [each.fp32_precision for each in products]
    torch.use_deterministic_algorithms(True)
    # Everything is written before it is read, so that filling new memory would only take time.
    memory.fill_uninitialized_memory = False
    for each in products:
        each.fp32_precision = "ieee"
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=only_warn)
        memory.fill_uninitialized_memory = fills
        for each, before in zip(products, precisions, strict=True):
            each.fp32_precision = before


def _fix_workspace() -> None:
    # cuBLAS repeats its bits with a workspace of fixed size alone. torch looks at this once in a process, at
    # the first product, so it is set as soon as a GPU is chosen, and stays.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
