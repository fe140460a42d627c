"""What is wrong with a catalogue, and where: every error names file, table, entry and field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from models.errors import UserError


class Place(NamedTuple):
    """Where an entry stands. `entry` is its name, or "#2" for the second of its file; "" where there is none."""

    file: str = ""
    table: str = ""
    entry: str = ""


class CatalogueError(NamedTuple):
    """One error; `str` is its line. What does not apply is ""."""

    file: str
    table: str
    entry: str
    field: str
    message: str

    def __str__(self) -> str:
        table = f"[catalogue] {self.entry}" if self.table == "catalogue" else f"[[{self.table}]] {self.entry}"
        parts = (self.file, table.strip() if self.table else "", self.field, self.message)
        return ": ".join(part for part in parts if part)


class CatalogueErrors(UserError):
    """All errors of a catalogue; `str` has a line for each."""

    def __init__(self, errors: list[CatalogueError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: "; did you mean 'amount'?", or "" when nothing is near."""
    names = list(known)
    near = get_close_matches(name, names, n=1) or get_close_matches(name.lower(), names, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


class Report:
    """Collects errors, and remembers what was wrong itself, so that what refers to it is not an error again."""

    def __init__(self) -> None:
        self.errors: list[CatalogueError] = []
        self.header: Place | None = None  # of a well-formed [catalogue]
        self.places: dict[int, Place] = {}  # by id of the entry; the catalogue keeps entries alive
        self.partial: set[str] = set()  # journeys of which a transition or timeout is malformed
        self.unread = False  # a part of a file was not read: nothing is unknown for sure
        self._broken: defaultdict[str, set[str]] = defaultdict(set)

    def add_at(self, place: Place, field: str, message: str) -> None:
        self.errors.append(CatalogueError(*place, field, message))

    def add(self, entry: object, field: str, message: str) -> None:
        self.add_at(self.places[id(entry)], field, message)

    def is_known(self, entry: object, field: str, what: str, name: str, known: Collection[str]) -> bool:
        """Whether the name is known; if it should be, the error is added."""
        if name not in known and not self.excuses(what, name):
            self.add(entry, field, f"unknown {what} '{name}'{did_you_mean(name, known)}")
        return name in known

    def excuses(self, what: str, name: str) -> bool:
        return self.unread or name in self._broken[what]

    def excuse(self, what: str, *names: str) -> None:
        """From now on it is no error that these are unknown."""
        self._broken[what].update(names)

    def malformed(self, table: str, raw: object) -> None:
        """An entry that is left out. What it would have declared is excused."""
        entry = raw if isinstance(raw, dict) else {}
        name = str(entry.get("name", ""))
        self.excuse(table, name)
        self.excuse("name", name, f"{name}_stage", f"{name}_time_in_stage_ms")
        if isinstance(entry.get("properties"), dict):
            self.excuse("property", *entry["properties"])
            self.excuse("name", *entry["properties"])
        if table == "journey":
            self.excuse("entity", str(entry.get("entity", "")))
        if table == "rule":
            self.excuse("channel", str(entry.get("channel", "")))
            self.excuse("group", str(entry.get("group", "")))

    def in_order(self, tables: Sequence[str]) -> list[CatalogueError]:
        """The errors by file, then by table, then as they were found; each once."""
        return sorted(dict.fromkeys(self.errors), key=lambda error: (error.file, _number(tables, error.table)))


def _number(tables: Sequence[str], table: str) -> int:
    table = table.partition(".")[0]
    return tables.index(table) if table in tables else -1
