"""What a lake says of itself, and where it may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.about import NoLakeError
from sinks.lake import connect
from sinks.schemas import ABOUT
from sinks.writer import Lake, LakeError
from tests.small_logs import small_catalogue


@pytest.mark.parametrize("text", ["", "garbage", '{"catalogue": '])
def test_a_damaged_description_is_said(text: str, tmp_path: Path) -> None:
    Lake(tmp_path, small_catalogue())
    (tmp_path / ABOUT).write_text(text)
    for use in (connect, lambda place: Lake(place, small_catalogue())):
        with pytest.raises(NoLakeError, match=r"zhice\.json is damaged.*delete it"):
            use(tmp_path)
    (tmp_path / ABOUT).unlink()
    Lake(tmp_path, small_catalogue())
    connect(tmp_path).close()


def test_a_lake_is_of_one_topic(tmp_path: Path) -> None:
    """Snapshots, transitions and metrics do not say of which they are."""
    Lake(tmp_path, small_catalogue())  # of a version that did not note it
    Lake(tmp_path, small_catalogue(), topic="one.events")
    Lake(tmp_path, small_catalogue())
    Lake(tmp_path, small_catalogue(), topic="one.events")
    with pytest.raises(LakeError, match=r"is of topic one\.events, not other\.events; take another folder"):
        Lake(tmp_path, small_catalogue(), topic="other.events")


@pytest.mark.parametrize("name", ["a%20b", "%e6", "a\\b", "a\nb"])
def test_a_path_that_delta_takes_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    for use in (connect, lambda place: Lake(place, small_catalogue())):
        with pytest.raises(NoLakeError, match="rename it"):
            use(tmp_path / name)
    assert not list(tmp_path.iterdir())
