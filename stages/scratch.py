"""Where the trainings of this project are kept against kills, see ``cmad.training.scratch``."""

import os
from pathlib import Path

from cmad.computing.processes import count
from cmad.errors import UserError
from cmad.training.scratch import Scratch

# Below DVC's own scratch, which git does not see.
_FOLDER = Path(".dvc/tmp/cmad")
# Runs of experiments stand in folders that DVC makes here and removes again.
_EXPERIMENTS = Path(".dvc/tmp/exps")
_GIB = 2**30


def scratch() -> Scratch | None:
    """The scratch of the project that the working folder belongs to, an experiment's copy of it too.

    None for a training on several processes, which would have to agree on what they go on from.

    The environment may name another folder, ``CMAD_SCRATCH``, and its limit in GiB,
    ``CMAD_SCRATCH_GIB`` (2).

    Raises:
        UserError: the limit is no number.
    """
    if count() > 1:
        return None
    limit = os.environ.get("CMAD_SCRATCH_GIB", "2")
    try:
        size = int(float(limit) * _GIB)
    except (ValueError, OverflowError):
        raise UserError(f"CMAD_SCRATCH_GIB is {limit!r}; it must be a number of GiB") from None
    named = os.environ.get("CMAD_SCRATCH")
    return Scratch(Path(named) if named else project(Path.cwd()) / _FOLDER, size)


def project(folder: Path) -> Path:
    """The project of a working folder: that itself, or the one whose experiment runs in it."""
    for parent in folder.parents:
        if parent.parts[-3:] == _EXPERIMENTS.parts:
            return parent.parents[2]
    return folder
