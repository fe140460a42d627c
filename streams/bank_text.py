"""Events as JSON: one template for each block, filled from its columns."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from streams.bank import Block, Ints

_MIX = 0x9E3779B97F4A7C15  # odd, so that multiplying by it permutes the 64-bit numbers
_MASK_48 = np.uint64(2**48 - 1)
TOO_LARGE_BYTES = 70_000


def event_ids(numbers: Ints, seed: int) -> NDArray[np.uint64]:
    """Ids that look random and never repeat: a permutation of the numbers."""
    ids = (numbers.astype(np.uint64) + np.uint64(seed % 2**32 * 2**32)) * np.uint64(_MIX)
    ids ^= ids >> np.uint64(29)
    return ids * np.uint64(_MIX)


def texts(block: Block, rows: Ints, ids: NDArray[np.uint64], received_at: Ints) -> list[str]:
    """The JSON of these rows of a block."""
    customer = block.customer[rows]
    fields: list[tuple[str, str, NDArray]] = [
        ("event_id", '"%016x"', ids),
        ("event", f'"{block.event}"', rows),
        ("customer_id", '"C%08d"', customer),
        ("event_time", "%d", block.time[rows]),
    ]
    if not isinstance(block.channel, str):
        fields.append(("channel", '"%s"', block.channel[rows]))
    if block.session is not None:
        session = block.session[rows].astype(np.uint64) * np.uint64(_MIX) & _MASK_48
        device = customer.astype(np.uint64) * np.uint64(_MIX) >> np.uint64(20)
        fields += [("session_id", '"S%012x"', session), ("device_id", '"D%011x"', device)]
    fields.append(("received_at", "%d", received_at))
    template = ",".join(f'"{name}":{text}' for name, text, _ in fields if name != "channel")
    if isinstance(block.channel, str):
        template += f',"channel":"{block.channel}"'
    else:
        template = template.replace('"event_time":%d,', '"event_time":%d,"channel":"%s",')
    properties = ",".join(f'"{name}":{text}' for name, (text, _) in block.properties.items())
    template = f'{{{template},"properties":{{{properties}}}}}'
    columns = [values for name, _, values in fields if name != "event"]
    columns += [values[rows] for _, values in block.properties.values()]
    return list(map(template.__mod__, zip(*(column.tolist() for column in columns), strict=True)))


def wrapped(timestamp: int, key: bytes, value: bytes) -> bytes:
    """A line for a record that is no plain event."""
    record = {
        "timestamp": timestamp,
        "key": base64.b64encode(key).decode(),
        "value": base64.b64encode(value).decode(),
    }
    return json.dumps({"$record": record}, separators=(",", ":")).encode()


# --- broken records


def _with(**changes: object) -> Callable[[dict[str, object]], bytes]:
    return lambda event: json.dumps({**event, **changes}).encode()


def _without(field: str) -> Callable[[dict[str, object]], bytes]:
    return lambda event: json.dumps({name: value for name, value in event.items() if name != field}).encode()


BREAKS: tuple[Callable[[dict[str, object]], bytes], ...] = (
    lambda event: json.dumps(event).encode()[:-17],
    lambda event: json.dumps(event).encode().replace(b"home", b"\xff\xfe"),
    lambda event: b"",
    lambda event: json.dumps([event]).encode(),
    lambda event: b"<html>502 Bad Gateway</html>",
    _without("customer_id"),
    _without("event_id"),
    _without("event_time"),
    _without("event"),
    _with(event_time="2026-01-01T00:00:00Z"),
    _with(properties="home"),
    _with(event_id=""),
    _with(event_id="x" * 300),
    _with(event_time=1_000),
    lambda event: json.dumps({**event, "event_time": int(str(event["event_time"])) + 172_800_000}).encode(),
    lambda event: json.dumps(event).encode(),  # the key will be wrong
    lambda event: json.dumps({**event, "properties": {"screen": "home" * (TOO_LARGE_BYTES // 4)}}).encode(),
)
WRONG_KEY, TOO_LARGE = len(BREAKS) - 2, len(BREAKS) - 1


def broken(kind: int, number: int, customer: int, time: int) -> tuple[bytes, bytes]:
    """The key and the value of a record that is broken in this way."""
    event: dict[str, object] = {
        "event_id": f"broken-{number:08d}",
        "event": "screen_view",
        "customer_id": f"C{customer:08d}",
        "event_time": time,
        "channel": "app",
        "received_at": time,
        "properties": {"screen": "home"},
    }
    key = b"C%08d" % (customer + (kind == WRONG_KEY))
    return key, BREAKS[kind](event)
