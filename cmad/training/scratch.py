"""Trainings under way and trainings done, kept so that no work is lost to a kill.

The scratch is a folder beside the pipeline, of which the pipeline knows nothing: whoever deletes it
loses time and no result. Each model has a folder there, named by a digest of all that determines its
bits. It holds ``epoch.pt``, the last finished epoch, until the training is done, and ``done.pt`` from
then on, and a lock, so that two processes do not train the same model.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from cmad.errors import UserError
from cmad.files import remove_partial, sha256, whole_file

_EPOCH, _DONE, _LOCK = "epoch.pt", "done.pt", "lock"
# How many hexadecimal digits of a digest make a name, and what is so named.
_DIGITS = 32
_MODEL = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")
# How often to try to lock a model, and the seconds between, 2 in all.
_TRIES, _WAIT = 100, 0.02


@dataclass(frozen=True)
class Scratch:
    """Where trainings are kept.

    Attributes:
        folder: made when it is needed.
        limit: bytes that it may take; models that nobody trains go out when there are more, oldest first.
    """

    folder: Path
    limit: int


class Place:
    """Where one training is kept, locked by this process.

    Args:
        folder: its own.
        label: what warnings call the training.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self._folder = folder
        self._label = label
        self._full = False

    def epoch(self) -> dict[str, Any] | None:
        """What ``save_epoch`` last wrote; None where nothing readable is there."""
        return self._read(_EPOCH)

    def done(self) -> dict[str, Any] | None:
        """What ``save_done`` wrote; None where nothing readable is there."""
        return self._read(_DONE)

    def save_epoch(self, content: Mapping[str, Any]) -> None:
        """Keep the state after an epoch, in place of the one before."""
        self._write(_EPOCH, content)

    def save_done(self, content: Mapping[str, Any]) -> None:
        """Keep a result, in place of the last epoch."""
        self._write(_DONE, content)
        # Where there was no room for the result, the last epoch is all that the next run has to go on from.
        if not self._full:
            (self._folder / _EPOCH).unlink(missing_ok=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._folder / name
        if not path.exists():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        # A damaged file makes torch raise errors of many kinds.
        except Exception:
            content = None
        if not isinstance(content, dict):
            print(f"{self._label}: {path} is not readable; it is trained anew", file=sys.stderr)
            path.unlink(missing_ok=True)
            return None
        return content

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        # The scratch spares time; a training does not end because it is full.
        if self._full:
            return
        try:
            with whole_file(self._folder / name) as aside:
                torch.save(dict(content), aside)
        # torch's writer of archives tells a full disk by a RuntimeError.
        except (OSError, RuntimeError) as error:
            self._full = True
            print(_unkept(self._label, self._folder, error), file=sys.stderr)


@contextmanager
def place(scratch: Scratch | None, key: Mapping[str, Any], label: str) -> Iterator[Place | None]:
    """The place of one training, for this process alone.

    Args:
        scratch: None keeps nothing.
        key: all that determines the training's bits, as plain data.
        label: of the training, for messages.

    Raises:
        UserError: another process trains this model.
    """
    if scratch is None:
        yield None
        return
    folder = scratch.folder / digest(key)
    try:
        lock = _hold(folder)
    except BlockingIOError as error:
        raise UserError(
            f"{label}: process {error} is training this model already; "
            f"wait for it, or end it with: kill {error}"
        ) from None
    except OSError as error:
        print(_unkept(label, folder, error), file=sys.stderr)
        yield None
        return
    with lock:
        remove_partial(folder)
        # Oldest goes by when a model was last worked on.
        os.utime(folder)
        _make_room(scratch, folder)
        yield Place(folder, label)


def digest(key: Mapping[str, Any]) -> str:
    """The name of what is made from these values."""
    text = json.dumps(key, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def code_digest() -> str:
    """A digest of the source of every module of this project that has been imported."""
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] in ("cmad", "stages"))
    files = [getattr(sys.modules[name], "__file__", None) for name in loaded]
    return digest({name: sha256(Path(f)) for name, f in zip(loaded, files, strict=True) if f})


def surroundings(threads: int, precision: str, device: torch.device, encoder: bool) -> dict[str, str | int]:
    """What else determines a training's bits than its inputs and settings.

    Args:
        encoder: whether a language encoder is trained along.
    """
    # The exact model of a processor or card is not asked for: the scratch stays on one machine.
    around: dict[str, str | int] = {
        "code": code_digest(),
        "torch": torch.__version__,
        # Draws order and combinations.
        "numpy": np.__version__,
        "threads": threads,
        "precision": precision,
        "device": device.type,
    }
    if encoder:
        # Where it is not installed, building the network says so.
        with suppress(PackageNotFoundError):
            around["transformers"] = version("transformers")
    return around


def folder_digest(folder: Path) -> str:
    """A digest of the files of a folder, their names and bytes."""
    return digest({path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()})


def _hold(folder: Path) -> IO[str]:
    """Make a model's folder, if need be, and lock it for this process.

    Raises:
        BlockingIOError: another process holds it; the message is its process id.
        OSError: the folder cannot be made, or its file system knows no locks.
    """
    holder = "unknown"
    for _ in range(_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / _LOCK).open("a+", encoding="ascii")
        except (FileExistsError, FileNotFoundError):
            if folder.is_file():
                raise
            # Another process made room in between: the folder went before open, or while mkdir looked at it.
            continue
        try:
            locked = _locked(lock)
        except OSError:
            lock.close()
            raise
        if not locked:
            # One that makes room holds it for a moment only.
            time.sleep(_WAIT)
        elif _is(lock, folder / _LOCK):
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            return lock
        lock.seek(0)
        holder = lock.read().strip() or holder
        lock.close()
    raise BlockingIOError(holder)


def _is(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _locked(lock: IO[str]) -> bool:
    """Whether this process got the lock. It goes with the process, however that ends.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_room(scratch: Scratch, own: Path) -> None:
    """Remove models that nobody trains, oldest first, until the rest fits.

    Whatever else stands in the folder is somebody's own: it neither counts nor goes.
    """
    models = (each for each in scratch.folder.iterdir() if _MODEL.fullmatch(each.name) and each.is_dir())
    sizes = {folder: _size(folder) for folder in models}
    total = sum(sizes.values())
    for folder in sorted(sizes, key=_age):
        if total <= scratch.limit:
            return
        if folder != own and _remove(folder):
            total -= sizes[folder]


def _remove(folder: Path) -> bool:
    """Remove a model's folder unless a process holds it."""
    try:
        with (folder / _LOCK).open("a+", encoding="ascii") as lock:
            if not _locked(lock):
                return False
            shutil.rmtree(folder)
    except OSError:
        return False
    return True


def _size(folder: Path) -> int:
    total = 0
    # Files come and go in the folders of other processes; os.walk passes over a folder that has gone.
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).stat().st_size
    return total


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _unkept(label: str, folder: Path, error: Exception) -> str:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{label}: {folder} cannot be written ({why}); the training goes on, a kill would lose it"
