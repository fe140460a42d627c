"""What a lake says of itself: `zhice.json` beside its tables, and what its path may be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from models.errors import UserError
from sinks.schemas import ABOUT

# Delta decodes or splits such a path and finds another folder; it takes no line break at all.
UNFIT: Final = re.compile(r"%[0-9A-Fa-f]{2}|[\\\x00-\x1f]")


class NoLakeError(UserError):
    """There is no lake at the path, or none that can be used; the message says what to do."""


def check_place(place: Path) -> None:
    """Raises NoLakeError for a path that Delta would not find again."""
    if found := UNFIT.search(str(place.absolute())):
        raise NoLakeError(
            f"the path {str(place.absolute())!r} has a {found[0]!r}, which Delta takes otherwise: rename it"
        )


def known_of_lake(place: Path) -> dict[str, Any]:
    """What the writer noted: the catalogue's name, version, time zone, stages, goals, policies, and the topic.

    Nothing where there is no such file. Raises NoLakeError.
    """
    check_place(place)
    try:
        return dict(json.loads((place / ABOUT).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise NoLakeError(
            f"{place / ABOUT} is damaged; the tables beside it may be whole: delete it, and the next worker with this "
            "lake writes it anew"
        ) from None


def other_than(known: Mapping[str, Any], wanted: Mapping[str, str | None]) -> str | None:
    """In words, the first thing that a lake is of another one than wanted; what either does not say may be any."""
    for what, value in wanted.items():
        if value and known.get(what) and known[what] != value:
            return f"is of {what} {known[what]}, not {value}"
    return None


def about_lake(place: Path) -> dict[str, Any]:
    """What the writer noted, of a lake that must be there. Raises NoLakeError."""
    if known := known_of_lake(place):
        return known
    raise NoLakeError(f"there is no lake at {place}: run `zhice demo`, or name one with --lake")
