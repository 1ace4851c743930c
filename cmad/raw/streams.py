"""One modality's ``.npz`` of a feature folder."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from cmad.errors import UserError
from cmad.raw.raw_data import Ragged


def read_stream(path: Path, samples: int) -> Ragged:
    """Read ``features`` [sum of lengths, d] and ``lengths`` [samples] of one file.

    Args:
        path: the ``.npz`` file; pickled objects in it are refused.
        samples: rows of ``samples.csv``.

    Raises:
        UserError: the file is missing or unreadable, or its arrays do not fit.
    """
    try:
        if path.exists() and not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz archive")
        with np.load(path, allow_pickle=False) as file:
            missing = {"features", "lengths"} - set(file.files)
            if missing:
                raise UserError(
                    f"{path}: array {min(missing)} is absent (found {', '.join(file.files)!r}); add it"
                )
            # A member that is no array comes back as bytes, which the checks below refuse.
            features, lengths = np.asarray(file["features"]), np.asarray(file["lengths"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; see data/README.md for its format") from None
    # A damaged archive surfaces as any of these.
    except (
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: not a readable .npz file ({reason}); save it anew with numpy.savez"
        ) from None
    if features.ndim != 2 or features.shape[1] == 0 or not np.issubdtype(features.dtype, np.floating):
        raise UserError(
            f"{path}: features is {features.dtype} {list(features.shape)}; "
            "give floating point numbers [sum of lengths, width]"
        )
    if lengths.ndim != 1 or not np.issubdtype(lengths.dtype, np.integer):
        raise UserError(f"{path}: lengths is {lengths.dtype} {list(lengths.shape)}; give int64 [{samples}]")
    if len(lengths) != samples:
        raise UserError(f"{path}: lengths has {len(lengths)} rows, samples.csv {samples}; make them agree")
    if (lengths < 0).any():
        raise UserError(f"{path}: lengths[{np.argmax(lengths < 0)}] is negative; 0 says that it is missing")
    total = int(lengths.sum(dtype=np.int64))
    if total != len(features):
        raise UserError(f"{path}: lengths add up to {total}, features has {len(features)} rows; mend one")
    return Ragged(features, lengths.astype(np.int64))
