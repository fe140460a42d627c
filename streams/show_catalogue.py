"""What commands print of a catalogue: its entries, and the schemas of what comes in and out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click

from models.catalogue import Catalogue
from models.layout import Layout
from models.schema import schemas
from streams.show import print_rows


def show_catalogue(catalogue: Catalogue, as_json: bool) -> None:
    """Print the entries of a catalogue."""
    if as_json:
        click.echo(msgspec.json.encode(catalogue))
        return
    layout = Layout.compile(catalogue)
    click.echo(f"{catalogue.name} {catalogue.version}, {catalogue.time_zone}")
    for entity in layout.entities:
        click.echo(f"  a row of {entity.name}: {entity.cells} cells of 8 bytes")
    features = [
        (one.name, one.label, one.class_, one.subclass, one.entity, one.aggregate, one.window or "lifetime")
        for one in catalogue.features
    ]
    print_rows(["feature", "label", "class", "subclass", "entity", "aggregate", "window"], features)
    tags = [(one.name, one.label, one.class_, one.subclass, one.expression) for one in catalogue.tags]
    print_rows(["tag", "label", "class", "subclass", "expression"], tags)
    journeys = [(one.name, one.label, one.entity, " → ".join(one.stages)) for one in catalogue.journeys]
    print_rows(["journey", "label", "entity", "stages"], journeys)
    rules = [
        (
            one.name,
            one.label,
            one.action,
            one.channel,
            one.kind,
            one.group,
            one.when or "",
            " × ".join(one.factors.values()),
        )
        for one in catalogue.rules
    ]
    print_rows(["rule", "label", "action", "channel", "kind", "group", "when", "score"], rules)
    policies = [(one.name, one.label, one.means, sum(map(one.is_for, catalogue.rules))) for one in catalogue.policies]
    print_rows(["policy", "label", "asks", "rules"], policies)


def show_schemas(catalogue: Catalogue, out: Path | None) -> None:
    """Write JSON Schemas to a folder, or print them as one object."""
    keys = {journey.key for journey in catalogue.journeys if journey.key is not None}
    made = schemas({event.name: event.properties for event in catalogue.events}, keys)
    if out is None:
        click.echo(msgspec.json.format(msgspec.json.encode(made)))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, schema in made.items():
        (out / name).write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n")
    click.echo(f"{len(made)} schemas in {out}")
