"""The mark of a refused value.

Every problem of a file is reported, not only the first. So a value that is refused leaves the hole
``INVALID`` in its record, the rules across fields step over holes, and the records are given out
only if there was no problem.
"""

from enum import Enum


class _Hole(Enum):
    """An enum, because its members survive the copies that ``asdict`` makes."""

    INVALID = "refused"


INVALID = _Hole.INVALID
