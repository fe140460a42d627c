"""Profiles of customers that changed: as of the moment of the call, whatever the shard does before they are made."""

from __future__ import annotations

from pathlib import Path

from models.decoding import Decoder
from models.layout import Layout
from models.shard import Shard
from streams.catalogues import read_catalogue
from streams.record_files import read_records
from streams.routing import Router
from streams.simulate import SimulationSettings, write_file


def test_changed_profiles_are_as_of_the_call(tmp_path: Path) -> None:
    write_file(SimulationSettings(events=3_000, customers=60, days=20), tmp_path / "bank.jsonl")
    layout = Layout.compile(read_catalogue())
    decoder, shard = Decoder(layout.event_layout), Shard(layout, "zhice.events", 0)
    (log, *_), *_ = Router(1).logs(read_records(tmp_path / "bank.jsonl"))
    shard.process(decoder.columns(shard.topic, 0, log.take(slice(0, 2_000))))
    ids = [f"C{number:08d}" for number in range(60)]
    expected = {id_: profile for id_ in ids if (profile := shard.profile(id_))}
    changed = shard.changed_profiles()
    shard.process(decoder.columns(shard.topic, 0, log.take(slice(2_000, 3_000))))
    made = {profile["customer_id"]: profile for profile in changed}
    assert made == expected and any(profile["entities"] for profile in made.values())
    assert made != {id_: shard.profile(id_) for id_ in made}  # the shard has gone on
    again = {profile["customer_id"]: profile for profile in shard.changed_profiles()}
    assert again == {id_: shard.profile(id_) for id_ in again} and again.keys() < set(ids)
