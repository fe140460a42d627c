"""What may be in the log: planted payloads do not pass, and without the filter they would."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

import streams
from streams.logs import JsonFormatter, TextFormatter, keep_payloads_out
from streams.topics import TopicError

WORD = "zimtstern"
OWN_FILE = str(Path(streams.__file__).parent / "worker.py")


@pytest.fixture(params=[JsonFormatter, TextFormatter])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, logging.Handler, io.StringIO]]:
    """A logger as a library has it, and what is written."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(request.param())
    logger = logging.getLogger("aiokafka.planted")
    logger.propagate = False
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger, handler, written
    logger.removeHandler(handler)


def say_all(logger: logging.Logger) -> None:
    """As client libraries do, at every level."""
    value = WORD.encode()
    record = ConsumerRecord("t", 0, 7, 0, 0, value, value, None, 1, 1, ())
    logger.debug("Request 3: %s", WORD)
    for level in (logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(level, "cannot send %r to %s", value, TopicPartition("events", 3))
        logger.log(level, "bad record %s", record)
        logger.log(level, "batch %s", [record])
        logger.log(level, "headers %(headers)s", {"headers": {"a": value}})
        logger.log(level, "callback failed: %r", KeyError(WORD))
        try:
            raise KeyError(WORD)
        except KeyError:
            logger.log(level, "cannot go on", exc_info=True)


def test_no_payload_passes_and_the_rest_does(log: tuple[logging.Logger, logging.Handler, io.StringIO]) -> None:
    logger, handler, written = log
    say_all(logger)
    assert WORD in written.getvalue()
    written.truncate(0)
    handler.addFilter(keep_payloads_out)
    say_all(logger)
    said = written.getvalue()
    assert WORD not in said
    assert said.count("events") == said.count("<ConsumerRecord>") == said.count("<list>") == said.count("<dict>") == 3
    assert said.count("KeyError (message withheld") == 3 and "test_logs.py" in said


def test_own_debug_passes_by_its_file_not_by_its_name() -> None:
    def record(name: str, path: str) -> logging.LogRecord:
        return logging.LogRecord(name, logging.DEBUG, path, 1, "restored partition %d", (3,), None)

    assert keep_payloads_out(record("streams.worker", OWN_FILE))
    assert not keep_payloads_out(record("streams.batches", "/somewhere/mode/services.py"))


def test_errors_that_a_user_can_mend_keep_their_words() -> None:
    try:
        try:
            raise ValueError(WORD)
        except ValueError as cause:
            raise TopicError("use another --prefix") from cause
    except TopicError as error:
        found = logging.LogRecord("streams", logging.ERROR, OWN_FILE, 1, "no", (), (type(error), error, None))
    line = JsonFormatter().format(found)
    assert "\n" not in line and WORD not in line
    said = json.loads(line)
    assert said["trace"][-1] == "TopicError: use another --prefix"
    assert list(said) == ["time", "level", "logger", "message", "trace"]


def test_a_line_break_in_a_message_is_no_second_line_of_json() -> None:
    found = logging.LogRecord("streams", logging.INFO, OWN_FILE, 1, "one\ntwo %s", ("智策",), None)
    assert json.loads(JsonFormatter().format(found))["message"] == "one\ntwo 智策"
    assert "\n" not in JsonFormatter().format(found)
