"""Writing artifacts so that a reader sees a whole one or none, and their checksums."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write beside ``path``; rename it there on success, remove it on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as folder:
        aside = Path(folder) / path.name
        yield aside
        aside.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill beside ``path``; it takes the place of ``path`` on success only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as folder:
        aside = Path(folder) / path.name
        aside.mkdir()
        yield aside
        if path.exists():
            shutil.rmtree(path)
        aside.rename(path)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
