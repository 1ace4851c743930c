"""Writing artifacts so that a reader sees a whole one or none, and their checksums."""

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARTIAL = ".partial"
# A process id tells nothing of the processes of another machine, which may write into the same folder.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write beside ``path``; rename it there on success, remove it on failure."""
    with partial_folder(path) as folder:
        aside = folder / path.name
        yield aside
        if _writes(path):
            aside.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill beside ``path``; it takes the place of ``path`` on success only."""
    with partial_folder(path) as folder:
        aside = folder / path.name
        aside.mkdir()
        yield aside
        if _writes(path):
            if path.exists():
                shutil.rmtree(path)
            aside.rename(path)


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path``; it is removed afterwards, whatever is in it.

    What a kill leaves of it goes with the next one there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_partial(path.parent)
    # The name tells who writes there, so that others see whether he still lives.
    prefix = f".{path.name}.{_HOST}.{os.getpid()}."
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=_PARTIAL, dir=path.parent) as folder:
        yield Path(folder)


def _writes(path: Path) -> bool:
    """Of several processes that train one model the first alone leaves anything.

    What stands in a folder that is itself half-written is each process's own.
    """
    return os.environ.get("RANK", "0") == "0" or any(p.name.endswith(_PARTIAL) for p in path.parents)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in a folder."""
    for path in folder.glob(f".*{_PARTIAL}"):
        *_, host, writer, _, _ = ("", "", "", *path.name.split("."))
        if host == _HOST and writer.isdigit() and not _alive(int(writer)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
