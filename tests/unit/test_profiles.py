"""Profiles of customers that changed: all of them, each as of the moment at which it was made."""

from __future__ import annotations

from itertools import islice
from math import nan
from pathlib import Path

import numpy as np
import pytest

from models import profiles
from models.decoding import Decoder
from models.layout import Layout, text_of
from models.shard import Shard
from streams.catalogues import read_catalogue
from streams.record_files import read_records
from streams.routing import Router
from streams.simulate import SimulationSettings, write_file


def test_all_that_changed_are_made_each_as_of_its_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "READ", 8)
    write_file(SimulationSettings(events=3_000, customers=60, days=20), tmp_path / "bank.jsonl")
    layout = Layout.compile(read_catalogue())
    decoder, shard = Decoder(layout.event_layout), Shard(layout, "zhice.events", 0)
    (log, *_), *_ = Router(1).logs(read_records(tmp_path / "bank.jsonl"))
    shard.process(decoder.columns(shard.topic, 0, log.take(slice(0, 2_000))))
    ids = [f"C{number:08d}" for number in range(60)]
    before = {id_: profile for id_ in ids if (profile := shard.profile(id_))}
    changed = shard.changed_profiles()
    first = list(islice(changed, 8))
    shard.process(decoder.columns(shard.topic, 0, log.take(slice(2_000, 3_000))))
    after = {id_: profile for id_ in before if (profile := shard.profile(id_))}
    assert first == [before[profile["customer_id"]] for profile in first]
    rest = list(changed)
    for profile in rest:
        now = after[profile["customer_id"]]
        known = {entity["entity_id"] for entity in before[profile["customer_id"]]["entities"]}
        assert profile == now | {"entities": [one for one in now["entities"] if one["entity_id"] in known]}
    assert any(profile["entities"] for profile in rest)
    assert {profile["customer_id"] for profile in (*first, *rest)} == before.keys()
    assert before != after  # the shard has gone on
    again = {profile["customer_id"]: profile for profile in shard.changed_profiles()}
    assert again == {id_: shard.profile(id_) for id_ in again} and again.keys() < set(ids)


def test_rows_at_once_are_shown_as_each_value_is() -> None:
    """As `text_of` shows what a decision read: NULL, what is true, and strings that are declared or not."""
    layout = Layout.compile(read_catalogue())
    values = (nan, 0.0, -1.0)  # what a value of any type may be
    for entity in layout.entities:
        names = entity.profile_names
        rows = np.array([[values[(first + number) % 3] for number in range(len(names))] for first in range(3)])
        for row, shown in zip(rows.tolist(), profiles.Shape(entity, layout.profile_types).shown(rows), strict=True):
            flat = [value for part in profiles.PARTS for value in shown[part].values()]
            assert flat == [text_of(value, layout.profile_types[name]) for value, name in zip(row, names, strict=True)]
