"""Rules that several lists of the parameter file share; each takes a list that may hold holes."""

from typing import Any

from cmad.config.holes import INVALID
from cmad.config.names import shown


def check_not_empty(key: str, values: Any) -> list[str]:
    """The problem of a list without items; none for a refused list.

    Args:
        key: full dotted key of the list.
        values: a tuple, or ``INVALID``.
    """
    return [f"{key} = []: must not be empty"] if values == () else []


def check_no_repeats(key: str, values: Any) -> list[str]:
    """A problem for each item that stands more than once; none for a refused list.

    Args:
        key: full dotted key of the list.
        values: a tuple, or ``INVALID``.
    """
    if not isinstance(values, tuple):
        return []
    valid = [value for value in values if value is not INVALID]
    repeated = [value for value in dict.fromkeys(valid) if valid.count(value) > 1]
    return [f"{key} = {shown(valid)}: {shown(value)} stands more than once" for value in repeated]
