"""Seeds for every use of chance, so that none depends on what was drawn before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import numpy as np
import torch


def generator(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """An explicit generator for one purpose ("order", "combinations") in one epoch."""
    return np.random.default_rng([seed, crc32(purpose.encode()), epoch])


@contextmanager
def torch_seeded(seed: int, purpose: str, epoch: int = 0) -> Iterator[None]:
    """Seed torch's default generators inside this scope and restore them after.

    For stock layers, which know no other source for initial weights and dropout. Of several GPUs it is the
    current one whose generator is restored: no other is used, and looking at them would start them all.
    """
    state = int(np.random.SeedSequence([seed, crc32(purpose.encode()), epoch]).generate_state(1)[0])
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(state)
        yield


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Pin torch's threads inside this scope: two counts give two sets of bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
