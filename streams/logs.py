"""The worker's log: text or one line of JSON a message, and nothing in it that a customer sent or is.

Client libraries print whole requests, keys and values among them, when they log at debug, and their configuration,
passwords among it; none of that passes. An unexpected error is shown by its type and where it happened: its message
may quote the data.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
from aiokafka.errors import KafkaError

from models.errors import UserError
from streams.cloud_events import rfc3339
from streams.settings import Settings

_ROOT: Final = Path(__file__).resolve().parent.parent
OWN: Final = tuple(f"{_ROOT / package}/" for package in ("models", "sinks", "streams"))
QUIET: Final = ("aiokafka", "kafka", "faust", "mode")  # below warning they say what only their authors need
SAFE_ERRORS: Final = (UserError, KafkaError, OSError, TimeoutError)  # their messages quote no data


def setup(settings: Settings) -> None:
    """Log to stderr as the settings say, uncaught errors too."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    handler.addFilter(keep_payloads_out)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _log_uncaught


def keep_payloads_out(record: logging.LogRecord) -> bool:
    """A filter for handlers: no debug of libraries, and of what they put into messages no bytes and no records."""
    if record.pathname.startswith(OWN):  # not by the logger's name: Faust names it after our subclass
        return True
    if record.levelno < logging.INFO:
        return False
    if isinstance(record.args, tuple):
        record.args = tuple(_Withheld(arg) if _holds_payload(arg) else arg for arg in record.args)
    elif record.args:
        record.args = {name: _Withheld(arg) if _holds_payload(arg) else arg for name, arg in record.args.items()}
    return True


def _holds_payload(value: object) -> bool:
    if isinstance(value, bytes | bytearray | memoryview):
        return True
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_payload, value))
    if isinstance(value, Mapping):
        return any(map(_holds_payload, [*value.keys(), *value.values()]))
    if isinstance(value, BaseException):
        return not isinstance(value, SAFE_ERRORS)
    return not isinstance(value, Enum) and hasattr(value, "value")  # records, messages and events


class _Withheld:
    """Says only what type of thing is not shown."""

    def __init__(self, value: object) -> None:
        self._name = type(value).__name__

    def __repr__(self) -> str:
        return f"<{self._name}>"


def describe(error: BaseException) -> str:
    """The type of an error, and its message where that cannot quote data."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, SAFE_ERRORS) else f"{name} (message withheld: it may quote data)"


def trace(error: BaseException) -> list[str]:
    """Where an error and what caused it happened, the cause first; source lines, no values."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    frames = [line.rstrip("\n") for line in traceback.format_list(traceback.extract_tb(error.__traceback__))]
    return [*(trace(before) if before else ()), *frames, describe(error)]


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Any) -> str:
        return "\n".join(trace(ei[1]))


class JsonFormatter(logging.Formatter):
    """For programs: an object a line, with the keys time, level, logger, message and, for an error, trace."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1]:
            said["trace"] = trace(record.exc_info[1])
        return msgspec.json.encode(said).decode()


def _log_uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    logging.getLogger("zhice").critical("ended by an error that is not foreseen", exc_info=error)
