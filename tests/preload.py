"""What a worker loads before it works: imported once by the server that forks workers, see tests/forked.py.

The lake is left out: its library has threads once it is used, and those do not survive a fork.
"""

from __future__ import annotations

from models.decoding import Decoder
from models.layout import Layout
from models.records import Record, Records
from models.shard import Shard
from streams import serve  # noqa: F401  all that a worker imports
from streams.catalogues import read_catalogue
from streams.collector import set_collector
from streams.simulate import SimulationSettings, records


def load_kernels() -> None:
    """Put a few simulated records through the engine."""
    layout = Layout.compile(read_catalogue())
    shard, decoder = Shard(layout, "preload", 0), Decoder(layout.event_layout)
    for timestamps, keys, values in records(SimulationSettings(events=200, customers=20, days=2)):
        rows = enumerate(zip(timestamps.tolist(), keys, values, strict=True), shard.next_offset)
        shard.process(decoder.columns("preload", 0, Records.of([Record(offset, *row) for offset, row in rows])))
    Shard.restore(layout, "preload", 0, shard.dump())


load_kernels()
set_collector()  # what is forked need not look at all this, nor copy it
