"""Reading published pickles without running anything that they say."""

from pathlib import Path
from typing import Any

from cmad.errors import UserError
from cmad.raw.pickled_numpy import Budget, RefusedError
from cmad.raw.unpickler import BoundedFile, Unpickler

# Bytes that a file may make beyond the data that stand in it: times its size, and any file.
_TIMES, _ANYWAY = 8, 1 << 24
# What a file that is no pickle begins with.
_OTHERS = (
    (b"\x1f\x8b", "is gzip-compressed; unpack it first: gunzip"),
    (b"BZh", "is bzip2-compressed; unpack it first: bunzip2"),
    (b"\xfd7zXZ", "is xz-compressed; unpack it first: unxz"),
    (b"\x28\xb5\x2f\xfd", "is zstd-compressed; unpack it first: unzstd"),
    (b"PK\x03\x04", "is a zip archive; unpack it first: unzip"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (b"7z\xbc\xaf", "is a 7z archive; unpack it first"),
    (b"\x89HDF", "is an HDF5 file; give the published pickle"),
    (b"\x93NUMPY", "is a single .npy array; give the published pickle"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the data; download the file behind it"),
)


def load(path: Path) -> Any:
    """Load a pickle of any protocol, of Python 2 or 3, that holds data alone.

    Admitted are None, numbers, texts, bytes, lists, tuples, sets, dictionaries, and numpy arrays and
    scalars of numbers, texts or admitted objects. Sets of either kind come as sets; ordered and
    defaulting dictionaries come as plain ones; ``__main__.return_unk`` comes as a name that does
    nothing. Strings of Python 2 come as text where they are ASCII, else as bytes. Everything else is
    refused by its name before anything happens; nothing is imported or called on the file's behalf.

    Raises:
        UserError: the file is missing, compressed, not a whole pickle, holds something else, or makes far
            more than its size: empty containers, copies.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            _check_start(path, file.read(512))
            file.seek(0)
            budget = Budget(_TIMES * size + _ANYWAY, size)
            return Unpickler(BoundedFile(file, size), budget).load()
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; put it there, see data/README.md") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend that and try again") from None
    except RefusedError as error:
        raise UserError(
            f"{path}: {error}, which plain data never does; nothing of it was run; "
            "get the file from its owners"
        ) from None
    except EOFError:
        raise UserError(f"{path}: ends too early ({size} bytes); download it again") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: holds text that is not UTF-8, or is damaged; download it again") from None
    except MemoryError:
        raise UserError(f"{path}: does not fit into memory; free some or take a larger machine") from None
    # The machine of the standard library meets damage with whatever exception comes first.
    except Exception as error:
        raise UserError(f"{path}: not a whole pickle ({type(error).__name__}); download it again") from None


def _check_start(path: Path, start: bytes) -> None:
    if not start:
        raise UserError(f"{path}: is empty; download it again")
    for magic, problem in _OTHERS:
        if start.startswith(magic):
            raise UserError(f"{path}: {problem}")
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{path}: is a web page, not the data; download it again, in a browser if need be")
