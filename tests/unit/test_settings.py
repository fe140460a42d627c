"""Settings whose form their types do not say."""

from __future__ import annotations

import pytest

from streams.settings import Settings, SettingsError, load


@pytest.mark.parametrize(
    "broker",
    ["127.0.0.1:9092", "kafka:19092", "kafka-0.kafka:9093,kafka-1.kafka:9093", "[::1]:9092", "k_1:1,k-2:65535"],
)
def test_brokers_are_hosts_with_ports(broker: str) -> None:
    assert load({"broker": broker}).broker == broker


@pytest.mark.parametrize(
    "broker",
    [
        "",
        "kafka",
        "kafka:",
        ":9092",
        "kafka:0",
        "kafka:65536",
        "kafka://kafka:9092",
        "a:1,",
        "a:1, b:2",
        "a:1;b:2",
        "::1:9092",
    ],
)
def test_what_is_no_list_of_brokers_is_refused(broker: str) -> None:
    """The clients do not agree in what they make of these, and some of them try for ever."""
    with pytest.raises(SettingsError, match="give HOST:PORT, several with commas between"):
        load({"broker": broker})


def test_an_application_has_the_name_of_its_topics() -> None:
    """Two of the same name and other topics would fence one another for ever."""
    assert (Settings().app, Settings(prefix="bank").app) == ("zhice", "bank")
    assert load({"prefix": "bank", "app": "shadow"}).app == "shadow"
    assert load({"prefix": "bank", "app": ""}).app == "bank"
