"""The errors that a user can mend: the command line shows their message, not a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Says in one line what is wrong and what to do about it; it quotes no event."""

    exit_code = 1
