"""Time, by the clock on the wall and by the processor."""

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Seconds:
    """A moment, or the time between two.

    Attributes:
        wall: by the clock on the wall.
        processor: of this process alone, all threads together; other processes disturb it less.
    """

    wall: float
    processor: float

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall - other.wall, self.processor - other.processor)

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.processor + other.processor)


def now(device: torch.device | None = None) -> Seconds:
    """This moment.

    Args:
        device: of which all that was begun is waited for.
    """
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return Seconds(time.perf_counter(), time.process_time())


def median(times: Iterable[Seconds]) -> Seconds:
    """The median of each clock by itself."""
    listed = list(times)
    return Seconds(
        statistics.median(each.wall for each in listed), statistics.median(each.processor for each in listed)
    )
