"""Settings whose form their types do not say."""

from __future__ import annotations

from typing import Any

import pytest

from streams.settings import NOT_EMBEDDED, OF_REPLAY, OF_TOPICS, Settings, SettingsError, fields, load


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


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lake": ""}, "--lake is empty: name a folder, as in --lake .zhice/lake"),
        ({"http": "foo"}, "--http foo: give HOST:PORT"),
        ({"http": "99999"}, "--http 99999: give HOST:PORT"),
        ({"http": "0"}, "--http 0: give HOST:PORT"),
        ({"http_token": "x"}, "--http-token is set without --http"),
        ({"http_token": "x", "http_address": "a:1"}, "--http-token is set without --http"),
        ({"http_address": "a:1"}, "--http-address is set without --http-token"),
        ({"http": "9464", "http_address": "a:1"}, "--http-address is set without --http-token"),
        ({"http": "9464", "http_token": "x", "http_address": "9464"}, "--http-address 9464: give HOST:PORT"),
        ({"checkpoint_s": "100", "checkpoint_max_s": "5"}, "--checkpoint-s 100 is more than --checkpoint-max-s 5"),
        ({"checkpoint_max_s": "5"}, "--checkpoint-s 10 is more than --checkpoint-max-s 5"),
    ],
)
def test_a_setting_without_effect_is_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(values)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    "values",
    [
        {"http": "9464"},
        {"http": "0.0.0.0:9464", "http_token": "x"},
        {"http": "[::]:9464", "http_token": "x", "http_address": "zhice-0.zhice:9464"},
        {"checkpoint_s": 5.0, "checkpoint_max_s": 5.0},
    ],
)
def test_settings_that_go_together(values: dict[str, Any]) -> None:
    assert load(values)


def test_an_application_has_the_name_of_its_topics() -> None:
    """Two of the same name and other topics would fence one another for ever."""
    assert (Settings().app, Settings(prefix="bank").app) == ("zhice", "bank")
    assert load({"prefix": "bank", "app": "shadow"}).app == "shadow"
    assert load({"prefix": "bank", "app": ""}).app == "bank"


def test_a_token_is_what_is_between_the_white_space() -> None:
    """Files of secrets end with a line break, and a header cannot hold one: the token would never match."""
    assert load({"http": "9464", "http_token": " bank token\r\n"}).http_token == "bank token"


@pytest.mark.parametrize("token", ["\n", "one\ntwo", " \t"])
def test_a_token_that_no_request_could_hold_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="--http-token"):
        load({"http": "9464", "http_token": token})


def test_the_options_of_commands_are_settings() -> None:
    known = set(Settings.__struct_fields__)
    assert set(OF_TOPICS) < set(OF_REPLAY) < known and set(NOT_EMBEDDED) < set(OF_REPLAY)
    assert [field.name for field in fields(OF_TOPICS)] == [
        name for name in Settings.__struct_fields__ if name in OF_TOPICS
    ]
