"""Columns back to events, one object each, for assertions."""

from __future__ import annotations

from msgspec import Raw

from models.columns import UNKNOWN, Columns, Field
from models.events import ABSENT, Event


def texts(columns: Columns, field: int) -> list[str | None]:
    """One of the texts of each record."""
    return [columns.texts(field).text(row) for row in range(len(columns))]


def events(columns: Columns) -> list[Event | None]:
    """The event of each record; None where there is none. Asserts that those rows hold nothing."""
    for row, kind in enumerate(columns.event_type.tolist()):
        if kind < UNKNOWN:
            _assert_empty(columns, row)
    return [_event(columns, row) if kind >= UNKNOWN else None for row, kind in enumerate(columns.event_type.tolist())]


def _event(columns: Columns, row: int) -> Event:
    ids = {field.name.lower(): columns.texts(field).text(row) for field in Field if field < Field.CONTEXT}
    context, properties = (columns.texts(field).value(row) for field in (Field.CONTEXT, Field.PROPERTIES))
    received_at = int(columns.received_at[row])
    assert columns.has_received_at[row] or received_at == 0
    return Event(
        **ids,
        event_time=int(columns.event_time[row]),
        received_at=received_at if columns.has_received_at[row] else None,
        context=ABSENT if context is None else Raw(context),
        properties=ABSENT if properties is None else Raw(properties),
    )


def _assert_empty(columns: Columns, row: int) -> None:
    numbers = (columns.event_time, columns.received_at, columns.has_received_at, columns.id_hash, columns.customer_hash)
    assert not any(column[row] for column in numbers)
    assert (columns.size[:, row] == -1).all()
    assert (columns.properties[row] != columns.properties[row]).all()
