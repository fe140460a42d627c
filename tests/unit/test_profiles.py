"""Profiles of customers that changed: all of them, each as of the moment at which it was made."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from math import inf, nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import profiles
from models.decoding import Decoder
from models.expressions import Kind, Type
from models.layout import OTHER_TEXT, Layout
from models.names import group_of
from models.profile_records import Instances, names_of, records_of, shape_of
from models.records import Records
from models.shard import Shard
from models.texts import Texts
from models.value_texts import Values, shown
from streams.catalogues import read_catalogue
from streams.record_files import read_records
from streams.routing import Router
from streams.sending import BATCH_BYTES
from streams.simulate import SimulationSettings, write_file

LAYOUT = Layout.compile(read_catalogue())
PARTS = ("features", "tags", "stages")  # of a profile, in order


def decoded(some: Iterable[Records]) -> list[dict[str, Any]]:
    """The profiles of records, whose keys are their customers."""
    pairs = [pair for records in some for pair in zip(records.keys.to_list(), records.values.to_list(), strict=True)]
    found = [(key, msgspec.json.decode(value or b"")) for key, value in pairs]
    assert [key for key, _ in found] == [profile["customer_id"].encode() for _, profile in found]
    return [profile for _, profile in found]


def test_all_that_changed_are_made_each_as_of_its_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "READ", 8)
    write_file(SimulationSettings(events=3_000, customers=60, days=20), tmp_path / "bank.jsonl")
    decoder, shard = Decoder(LAYOUT.event_layout), Shard(LAYOUT, "zhice.events", 0)
    (log, *_), *_ = Router(1).logs(read_records(tmp_path / "bank.jsonl"))
    shard.process(decoder.columns(shard.topic, 0, log.take(slice(0, 2_000))))
    ids = [f"C{number:08d}" for number in range(60)]
    before = {id_: profile for id_ in ids if (profile := shard.profile(id_))}
    changed = shard.changed_profiles()
    first = decoded(islice(changed, 1))
    assert len(first) == 8
    shard.process(decoder.columns(shard.topic, 0, log.take(slice(2_000, 3_000))))
    after = {id_: profile for id_ in before if (profile := shard.profile(id_))}
    assert first == [before[profile["customer_id"]] for profile in first]
    rest = decoded(changed)
    for profile in rest:
        now = after[profile["customer_id"]]
        known = {entity["entity_id"] for entity in before[profile["customer_id"]]["entities"]}
        assert profile == now | {"entities": [one for one in now["entities"] if one["entity_id"] in known]}
    assert any(profile["entities"] for profile in rest)
    assert {profile["customer_id"] for profile in (*first, *rest)} == before.keys()
    assert before != after  # the shard has gone on
    again = {profile["customer_id"]: profile for profile in decoded(shard.changed_profiles())}
    assert again == {id_: shard.profile(id_) for id_ in again} and again.keys() < set(ids)


def test_a_record_carries_the_time_at_which_its_profile_was_made() -> None:
    shard = Shard(LAYOUT, "zhice.events", 0)
    shard.rows.add(False, Texts.of([b"c1", b"c2"]), np.zeros(2, np.int64))
    shard.rows.touched[:2] = True
    (records,) = shard.changed_profiles()
    assert records.timestamp.tolist() == [shard.clock] * 2
    assert [profile["as_of"] for profile in decoded([records])] == [shard.clock] * 2


def text_of(value: float, type_: Type) -> float | bool | str | None:
    """A register's value as users see it; a string that is not declared is OTHER_TEXT, for its text is not kept."""
    if value != value:
        return None
    if type_.kind is Kind.BOOLEAN:
        return bool(value)
    if type_.kind is Kind.STRING:
        return type_.values[int(value)] if value >= 0 else OTHER_TEXT
    return float(value)


def test_rows_at_once_are_shown_as_each_value_is() -> None:
    """As `text_of` has it: NULL, what is true, and strings that are declared or not."""
    values = (nan, 0.0, -1.0)  # what a value of any type may be
    for entity in LAYOUT.entities:
        names, shape = entity.profile_names, shape_of(entity, LAYOUT.profile_types)
        rows = np.array([[values[(first + number) % 3] for number in range(len(names))] for first in range(3)])
        texts = shown(3, [Values(shape, np.array([2, 0, 1]), rows)])
        for row, number in zip(rows.tolist(), (2, 0, 1), strict=True):
            found = msgspec.json.decode(b"{%b}" % (texts.value(number) or b""))
            assert tuple(found) == PARTS
            assert [name for part in PARTS for name in found[part]] == [
                *entity.features, *entity.tags, *entity.journeys
            ]  # fmt: skip
            flat = [value for part in PARTS for value in found[part].values()]
            assert flat == [text_of(value, LAYOUT.profile_types[name]) for value, name in zip(row, names, strict=True)]


def test_a_profile_fits_into_a_record_however_many_entities_a_customer_has() -> None:
    """With the newest of them; a broker would refuse it, and the next checkpoint fail for it."""
    shard = Shard(LAYOUT, "zhice.events", 0)
    shard.rows.add(False, Texts.of([b"c1", b"c2"]), np.zeros(2, np.int64))
    owners = np.array([1] + [0] * 20_000)
    ids = Texts.of([b"loan-%d" % number for number in range(len(owners))])
    shard.rows.add(True, ids, group_of(1, owners))
    shard.rows.touched[:2] = True
    (records,) = shard.changed_profiles()
    many, one = decoded([records])
    shown_ids = [entity["entity_id"] for entity in many["entities"]]
    assert shown_ids == [f"loan-{number}" for number in range(20_001 - len(shown_ids), 20_001)]
    assert len(shown_ids) > 100 and many["entities_left_out"] == 20_000 - len(shown_ids)
    assert [entity["entity_id"] for entity in one["entities"]] == ["loan-0"] and "entities_left_out" not in one
    assert 0.5 * profiles.MOST_BYTES < records.value_size[0] < BATCH_BYTES - 20_000


IDS = st.text(max_size=12)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(IDS, st.lists(st.tuples(st.booleans(), IDS, NUMBERS), max_size=4), NUMBERS), max_size=5))
def test_any_profiles_are_the_json_that_msgspec_makes_of_them(rows: list[Any]) -> None:
    """Ids with any characters, any numbers, customers with and without instances of two entities."""
    entities = [LAYOUT.entities[1], LAYOUT.entities[1]]
    shape = shape_of(LAYOUT.entities[0], LAYOUT.profile_types)
    types = [LAYOUT.profile_types[name] for name in LAYOUT.entities[0].profile_names]
    numeric = [number for number, kind in enumerate(shape.kinds.tolist()) if kind == 0]
    owned = [(owner, int(second), id_, number) for owner, row in enumerate(rows) for second, id_, number in row[1]]

    def cells(number: float) -> list[float]:
        line = [nan] * len(types)
        line[numeric[0]] = line[numeric[-1]] = number
        return line

    def parts(numbers: list[float]) -> Texts:
        values = np.array([cells(number) for number in numbers]).reshape(-1, len(types))
        return shown(len(numbers), [Values(shape, np.arange(len(numbers)), values)])

    instances = Instances(
        owners=np.array([one[0] for one in owned], np.int64),
        entities=np.array([one[1] for one in owned], np.int64),
        ids=Texts.of([one[2].encode() for one in owned]),
        shown=parts([one[3] for one in owned]),
    )
    customers = Texts.of([row[0].encode() for row in rows])
    left_out = np.arange(len(rows)) % 2 * 12
    records = records_of(names_of(entities), customers, parts([row[2] for row in rows]), instances, left_out, 7)
    names = LAYOUT.entities[0].profile_names

    def expected(number: float) -> dict[str, Any]:
        values = iter([None if value != value or abs(value) == inf else value for value in cells(number)])
        entity, counts = LAYOUT.entities[0], []
        for part in (entity.features, entity.tags, entity.journeys):
            counts.append({name: next(values) for name in part})
        return dict(zip(PARTS, counts, strict=True))

    assert len(names) == len(types)
    assert decoded([records]) == [
        {
            "customer_id": id_,
            "as_of": 7,
            **expected(number),
            "entities": [
                {"entity": entities[second].name, "entity_id": own, **expected(of_own)} for second, own, of_own in some
            ],
            **({"entities_left_out": 12} if place % 2 else {}),
        }
        for place, (id_, some, number) in enumerate(rows)
    ]
