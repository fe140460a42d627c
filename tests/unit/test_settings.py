"""Settings that follow from others."""

from __future__ import annotations

from streams.settings import Settings, load


def test_an_application_has_the_name_of_its_topics() -> None:
    """Two of the same name and other topics would fence one another for ever."""
    assert (Settings().app, Settings(prefix="bank").app) == ("zhice", "bank")
    assert load({"prefix": "bank", "app": "shadow"}).app == "shadow"
    assert load({"prefix": "bank", "app": ""}).app == "bank"
