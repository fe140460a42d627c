"""`zhice compile`: compile the kernels once, at set-up or when an image is built; later starts take seconds."""

from __future__ import annotations

from models.decoding import Decoder
from models.layout import Layout
from models.records import Record, Records
from models.shard import Shard
from streams.catalogues import read_catalogue
from streams.simulate import SimulationSettings, records

TOPIC = "compile"


def compile_kernels() -> int:
    """Put a small simulated log through every kernel; returns how many records it had."""
    layout = Layout.compile(read_catalogue())
    shard, decoder = Shard(layout, TOPIC, 0), Decoder(layout.event_layout)
    for timestamps, keys, values in records(SimulationSettings(customers=20, days=2, events=200)):
        log = [
            Record(shard.next_offset + n, *one)
            for n, one in enumerate(zip(timestamps.tolist(), keys, values, strict=True))
        ]
        shard.process(decoder.columns(TOPIC, 0, Records.of(log)))
    shard.finish()
    return Shard.restore(layout, TOPIC, 0, shard.dump()).next_offset
