"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something the user can mend: one line saying what is wrong, where, and what to do."""
