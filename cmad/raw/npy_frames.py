"""Frames in one ``.npy`` file per sample, read when they are asked for: more than memory holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.errors import UserError


def npy_shape(path: Path) -> tuple[int, ...]:
    """The shape of an array of numbers, from the file's head; its content is not read.

    Raises:
        ValueError: the file is damaged, too short, holds objects, or something else than floats.
        OSError: it cannot be read.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ValueError("it holds no floating point numbers")
    return array.shape


class NpyFrames:
    """The frames of n files [length, d], one after the other, as ``Ragged.features`` wants them.

    Attributes:
        shape: (sum of lengths, d).
        dtype: float32, whatever the files hold.
    """

    def __init__(self, paths: Sequence[Path], lengths: NDArray[np.int64], width: int) -> None:
        self._paths = paths
        self._stops = np.cumsum(lengths)
        self._starts = self._stops - lengths
        self.shape = (int(lengths.sum()), width)
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The given rows; fast where rows of one file stand together."""
        block = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        sample = np.searchsorted(self._stops, rows, side="right")
        edges = np.flatnonzero(np.diff(sample, prepend=-1, append=-1))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            of = int(sample[start])
            block[start:stop] = self._load(self._paths[of])[rows[start:stop] - self._starts[of]]
        return block

    def _load(self, path: Path) -> NDArray[Any]:
        try:
            # Mapped: a stream is cut to its first frames, the others stay on disk.
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: not readable any more ({type(error).__name__}); get it again") from None
