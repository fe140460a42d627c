"""Reading a catalogue's files; `models.catalogue` checks what they say."""

from __future__ import annotations

from pathlib import Path

import models
from models.catalogue import Catalogue, load
from models.errors import UserError

RETAIL_BANK = Path(models.__file__).parent / "retail_bank"


class NoCatalogueError(UserError):
    """There is no catalogue at the path; the message says what to do."""


def read_catalogue(path: str | Path = "") -> Catalogue:
    """The catalogue in a folder of *.toml files, or in one file; empty: retail_bank.

    Raises NoCatalogueError, CatalogueErrors.
    """
    place = Path(path) if path else RETAIL_BANK
    files = sorted(place.glob("*.toml")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise NoCatalogueError(f"there is no catalogue at {place}: name a folder with *.toml files, or one such file")
    return load({file.name: _text(file) for file in files})


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # some editors write a BOM before the first line
    except UnicodeDecodeError as error:
        raise NoCatalogueError(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}") from None
