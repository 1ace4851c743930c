"""Arrays that live on disk while they are filled."""

import os
from pathlib import Path
from typing import Any

import numpy as np


def new_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> "np.memmap[Any, np.dtype[Any]]":
    """A ``.npy`` file of zeros, as an array to fill in place.

    Raises:
        OSError: the disk has no room for all of it. Without asking beforehand, the process would be
            killed where it fills a page that the disk cannot hold.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    # Not every system has it.
    reserve = getattr(os, "posix_fallocate", None)
    if reserve is not None:
        with path.open("r+b") as file:
            try:
                reserve(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
    return array
