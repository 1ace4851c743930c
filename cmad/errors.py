"""What a user is meant to read when something fails: one line."""

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


class UserError(Exception):
    """Something the user can mend: one line saying what is wrong, where, and what to do."""


def of_system(error: OSError) -> str:
    """A file or folder that the system would not give, in the words of a ``UserError``."""
    where = error.filename or "."
    if error.errno in _FULL:
        return f"{where}: no space left on the disk; make room and run again"
    return f"{where}: {error.strerror or error}; mend that and run again"
