"""The errors that a user can mend: the command line shows their message, not a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Says what is wrong and what to do about it, and quotes no event."""

    exit_code = 1
