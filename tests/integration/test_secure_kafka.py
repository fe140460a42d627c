"""A worker on an Apache Kafka that wants TLS with client certificates and SASL, and what is said when it is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from streams.cli import main
from streams.kafka_broker import ApacheKafka, missing_for_apache_kafka
from streams.producing import produce
from streams.security import SecurityError
from streams.settings import load
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from tests.certificates import Authority
from tests.integration.served import Worker, processed, until
from tests.workers import archived

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
MODULE = "org.apache.kafka.common.security"
SCRAM, PLAIN, WRONG = "geheim-scram-0451", "geheim-plain-0451", "falsch-0815"


@dataclass(frozen=True)
class SecureKafka:
    """The broker, and the settings that it lets in."""

    address: str
    broker: ApacheKafka
    folder: Path
    settings: dict[str, str]


def properties(folder: Path, authority: Authority) -> dict[str, str]:
    certificate, key = authority.sign("broker")
    store = folder / "broker.store.pem"
    store.write_text(key.read_text() + certificate.read_text())
    secure = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
        "scram-sha-512.sasl.jaas.config": f"{MODULE}.scram.ScramLoginModule required;",
        "scram-sha-256.sasl.jaas.config": f"{MODULE}.scram.ScramLoginModule required;",
        "plain.sasl.jaas.config": f'{MODULE}.plain.PlainLoginModule required user_bank="{PLAIN}";',
    }
    protocols = {"listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"}
    return protocols | {f"listener.name.client.{name}": value for name, value in secure.items()}


def make_user(broker: ApacheKafka, name: str = "bank", password: str = SCRAM) -> None:
    """A new user, or a new password of one."""
    admin = KafkaAdminClient(bootstrap_servers=broker.internal_address)
    for mechanism in (ScramMechanism.SCRAM_SHA_512, ScramMechanism.SCRAM_SHA_256):
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, mechanism, password)])
    admin.close()


@pytest.fixture(scope="module")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    if missing := missing_for_apache_kafka():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Apache Kafka to secure: install {missing}")
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder).make()
    certificate, key = authority.sign("worker")
    with ApacheKafka(properties=properties(folder, authority)) as broker:
        make_user(broker)
        yield SecureKafka(
            broker.address,
            broker,
            folder,
            {
                "broker": broker.address, "security_protocol": "SASL_SSL", "sasl_username": "bank",
                "sasl_password": SCRAM, "ssl_ca": str(authority.certificate),
                "ssl_cert": str(certificate), "ssl_key": str(key),
            },
        )  # fmt: skip


@pytest.mark.parametrize(("mechanism", "password"), [("SCRAM-SHA-256", SCRAM), ("PLAIN", PLAIN)])
def test_other_mechanisms_are_let_in(secure_kafka: SecureKafka, mechanism: str, password: str) -> None:
    values = {"sasl_mechanism": mechanism, "sasl_password": password, "prefix": mechanism}
    assert all(topic.made for topic in ensure_topics(load(secure_kafka.settings | values)))


def test_a_worker_works_over_tls(secure_kafka: SecureKafka, topic_prefix: str, tmp_path: Path) -> None:
    values = secure_kafka.settings | {
        "prefix": topic_prefix, "app": topic_prefix, "lake": str(tmp_path / "lake"), "tick_ms": "0",
    }  # fmt: skip
    settings = load(values)
    ensure_topics(settings, keep_forever=True)
    written = write_file(SimulationSettings(events=2000, customers=100, days=5), tmp_path / "bank.jsonl")
    produce(settings, str(tmp_path / "bank.jsonl"))
    with Worker(values, tmp_path / "worker.log") as worker:
        until(lambda: processed([worker]) >= written.records, lambda: worker.log.read_text()[-3000:])
        until(lambda: worker.metrics()["zhice_lag_records"] == 0, lambda: "lag stays")
        assert worker.stop() == 0, worker.log.read_text()[-3000:]
    assert archived(settings.lake) == written.records
    assert SCRAM not in worker.log.read_text()


def test_a_password_that_is_changed_meanwhile_is_named_and_ends_the_worker(
    secure_kafka: SecureKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Clients would retry for ever, and say that the broker is away."""
    make_user(secure_kafka.broker, "leaver")
    values = secure_kafka.settings | {
        "prefix": topic_prefix, "app": topic_prefix, "lake": str(tmp_path / "lake"), "tick_ms": "200",
        "sasl_username": "leaver", "watchdog_s": "3",
    }  # fmt: skip
    with Worker(values, tmp_path / "worker.log") as worker:
        until(lambda: worker.health()[0] == 200, lambda: worker.log.read_text()[-3000:])
        make_user(secure_kafka.broker, "leaver", WRONG)
        secure_kafka.broker.kill()
        secure_kafka.broker.restart()
        until(lambda: "refuses user 'leaver'" in str(worker.health()[1].get("reason")), lambda: worker.health())
        assert worker.wait(60) == 1
    said = worker.log.read_text()
    assert re.search(r"zhice: \S+ refuses user 'leaver' by SCRAM-SHA-512.*Nothing is lost", said), said[-3000:]


def test_who_is_refused_is_told_why(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").make()
    stranger = dict(zip(("ssl_cert", "ssl_key"), map(str, other.sign("stranger")), strict=True))
    cases: list[tuple[dict[str, str], str]] = [
        ({"sasl_password": WRONG, "sasl_mechanism": "PLAIN"}, "refuses user 'bank' by PLAIN"),
        ({"ssl_ca": str(other.certificate)}, "is not trusted"),
        (stranger, "does not agree on TLS"),
        ({"ssl_cert": "", "ssl_key": ""}, "does not agree on TLS"),
    ]
    for changes, said in cases:
        with pytest.raises(SecurityError, match=said) as raised:
            ensure_topics(load(secure_kafka.settings | changes))
        assert "\n" not in str(raised.value) and WRONG not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        (
            {"sasl_password": WRONG},
            1,
            "refuses user 'bank' by SCRAM-SHA-512: check --sasl-username and ZHICE_SASL_PASSWORD",
        ),
        ({"security_protocol": "SASL_PLAINTEXT"}, 2, "would send credentials and events unencrypted"),
    ],
)
def test_a_refused_command_says_one_line(
    secure_kafka: SecureKafka, changes: dict[str, str], code: int, said: str
) -> None:
    given = {f"ZHICE_{name.upper()}": value for name, value in (secure_kafka.settings | changes).items()}
    done = CliRunner().invoke(main, ["topics"], env=given)
    assert (done.exit_code, done.stdout) == (code, "")
    assert re.fullmatch(rf"zhice: [^\n]*{re.escape(said)}[^\n]*\n", done.stderr), done.stderr
    assert WRONG not in done.stderr and SCRAM not in done.stderr
