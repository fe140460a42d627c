"""Which settings of security are refused before anything is sent, and what the clients get from the others."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import AuthProtocol

from streams.security import client_options, faust_credentials
from streams.settings import SECRETS, Settings, SettingsError, fields, load
from tests.certificates import Authority

PASSWORD = "geheim-0451"
USER = {"sasl_username": "bank", "sasl_password": PASSWORD}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"security_protocol": "SASL_PLAINTEXT", **USER}, "unencrypted"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "unencrypted"),
        (USER, "credentials go over TLS only"),
        ({"security_protocol": "SSL", **USER}, "credentials go over TLS only"),
        ({"sasl_mechanism": "PLAIN"}, "--sasl-… is set, but --security-protocol is PLAINTEXT"),
        ({"security_protocol": "SSL", "sasl_mechanism": "SCRAM-SHA-256"}, "--sasl-… is set"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "bank"}, "ZHICE_SASL_PASSWORD"),
        ({"security_protocol": "SASL_SSL", "sasl_password": PASSWORD}, "--sasl-username"),
        ({"ssl_ca": "ca.pem"}, "--security-protocol is PLAINTEXT"),
        ({"security_protocol": "SSL", "ssl_cert": "a.pem"}, "--ssl-key"),
        ({"security_protocol": "SSL", "ssl_ca": "no-such-file.pem"}, "no-such-file.pem"),
    ],
)
@pytest.mark.parametrize("of", [client_options, faust_credentials])
def test_what_is_unsafe_or_without_effect_is_refused(of: Any, values: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        of(Settings(**values))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value) and PASSWORD not in str(raised.value)


def test_plaintext_without_credentials_is_plain() -> None:
    assert client_options(Settings()) == {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"}
    assert faust_credentials(Settings()) is None


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_credentials_go_over_tls_that_checks_the_host(mechanism: str) -> None:
    settings = Settings(security_protocol="SASL_SSL", sasl_mechanism=mechanism, **USER)  # type: ignore[arg-type]
    options, credentials = client_options(settings), faust_credentials(settings)
    assert isinstance(credentials, SASLCredentials)
    assert credentials.protocol == AuthProtocol.SASL_SSL and credentials.mechanism.value == mechanism
    for context in (options["ssl_context"], credentials.ssl_context):
        assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_files_of_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path).make()
    certificate, key = map(str, authority.sign("worker"))
    tls = {"security_protocol": "SSL", "ssl_ca": str(authority.certificate), "ssl_cert": certificate}
    assert isinstance(faust_credentials(load({**tls, "ssl_key": key})), SSLCredentials)
    with pytest.raises(SettingsError, match="its unencrypted key"):
        client_options(load({**tls, "ssl_key": str(authority.certificate)}))
    with pytest.raises(SettingsError, match="not a file of PEM certificates"):
        client_options(load({**tls, "ssl_ca": key, "ssl_key": key}))


def test_secrets_are_not_shown() -> None:
    assert set(SECRETS) <= {field.name for field in fields()}
    settings = Settings(sasl_password=PASSWORD, http_token=PASSWORD)
    assert PASSWORD not in f"{settings!r} {settings} {dict(settings.__rich_repr__())}"
    assert "sasl_password=''" in repr(Settings())


def test_a_line_break_at_the_end_of_a_file_is_no_part_of_credentials() -> None:
    """Of a password all other white space is."""
    settings = load({"security_protocol": "SASL_SSL", "sasl_username": "bank\n", "sasl_password": " a b \r\n"})
    options = client_options(settings)
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("bank", " a b ")


def test_a_wrong_setting_is_named_without_its_value() -> None:
    with pytest.raises(SettingsError, match="--sasl-password: expected a text") as raised:
        load({"sasl_password": [PASSWORD]})
    assert PASSWORD not in str(raised.value)
