"""Frames in one ``.npy`` file per sample, read when they are asked for: more than memory holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.errors import UserError

# Most entries of one axis.
_LONGEST = 2**31


@dataclass(frozen=True)
class NpyFile:
    """What the head of a file says.

    Attributes:
        path: the file.
        shape: of its array.
        dtype: floating point.
        columns_first: how its content is laid out.
        start: byte at which its content begins.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns_first: bool
    start: int


def npy_file(path: Path) -> NpyFile:
    """Look at the head of a file; its content is not read.

    Raises:
        ValueError: it is no array of floating point numbers, or shorter than its head says.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError("it is of another version")
        shape, columns_first, dtype = readers[version](file)
        start = file.tell()
    # A head can claim anything; without columns even an endless array would fit into its file.
    if not all(type(n) is int and 0 <= n <= _LONGEST for n in shape):
        raise ValueError("its shape is none")
    if dtype.kind != "f" or start + int(np.prod(shape, dtype=object)) * dtype.itemsize > path.stat().st_size:
        raise ValueError("it is no whole array of floating point numbers")
    return NpyFile(path, shape, dtype, columns_first, start)


class NpyFrames:
    """The frames of n files [length, d], one after the other, as ``Ragged.features`` wants them.

    Attributes:
        shape: (sum of lengths, d).
        dtype: float32, whatever the files hold.
    """

    def __init__(self, files: Sequence[NpyFile], width: int) -> None:
        lengths = np.array([file.shape[0] for file in files], dtype=np.int64)
        self._files = files
        self._stops = np.cumsum(lengths)
        self._starts = self._stops - lengths
        self.shape = (int(lengths.sum()), width)
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The given rows, float32; fast where rows of one file stand together.

        Raises:
            UserError: a file is not as it was.
        """
        block = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        sample = np.searchsorted(self._stops, rows, side="right")
        edges = np.flatnonzero(np.diff(sample, prepend=-1, append=-1))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            of = int(sample[start])
            within = rows[start:stop] - self._starts[of]
            low = int(within.min())
            part = _frames(self._files[of], low, int(within.max()) + 1)
            with np.errstate(over="ignore"):
                block[start:stop] = part[within - low]
        return block


def _frames(file: NpyFile, low: int, high: int) -> NDArray[Any]:
    """Frames from ``low`` to before ``high``."""
    length, width = file.shape
    if file.columns_first:
        return _numbers(file, 0, length * width).reshape(width, length).T[low:high]
    return _numbers(file, low * width, (high - low) * width).reshape(high - low, width)


def _numbers(file: NpyFile, first: int, count: int) -> NDArray[Any]:
    try:
        with file.path.open("rb") as opened:
            opened.seek(file.start + first * file.dtype.itemsize)
            numbers = np.fromfile(opened, file.dtype, count)
    except OSError as error:
        raise UserError(f"{file.path}: not readable any more ({error.strerror}); get it again") from None
    if len(numbers) != count:
        raise UserError(f"{file.path}: not readable any more (it is shorter); get it again")
    return numbers
