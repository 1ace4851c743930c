"""What the generators of the published layouts share."""

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

SIZES = (12, 6, 6)
VOCABULARY = (
    "well",
    "that",
    "was",
    "unbelievably",
    "good",
    "sp",
    "é",
    "😀",
    "it's",
    "(umm)",
    "not",
    "\u200b",
)


def published_lengths(count: int, mean: float, longest: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Lengths like those of real utterances: skewed, at least 1, at most ``longest``."""
    drawn = rng.lognormal(np.log(mean) - 0.18, 0.6, count)
    return np.clip(drawn.round(), 1, longest).astype(np.int64)


class Python2Pickler(pickle._Pickler):
    """Writes bytes and text as Python 2 writes its strings (protocol 2)."""

    dispatch: ClassVar[Any] = dict(pickle._Pickler.dispatch)

    def __init__(self, file: Any) -> None:
        super().__init__(file, 2)


def _save_string(pickler: Any, value: str | bytes) -> None:
    raw = value.encode("utf-8") if isinstance(value, str) else value
    if len(raw) < 256:
        pickler.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)
    else:
        pickler.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
    pickler.memoize(value)


Python2Pickler.dispatch[str] = _save_string
Python2Pickler.dispatch[bytes] = _save_string


def write_python2(path: Path, content: Any) -> Path:
    """Pickle as Python 2 and the numpy of its time did."""
    with path.open("wb") as file:
        Python2Pickler(file).dump(content)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.", b"cnumpy.core."))
    return path
