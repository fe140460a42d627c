"""How every Kafka client reaches the cluster: TLS, who we are, and what is refused before anything is sent.

Credentials go over TLS only, whatever the mechanism: SCRAM keeps the password from an eavesdropper, but not what a
worker reads and writes. A certificate's host name is always checked.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from models.errors import UserError
from streams.settings import Settings, SettingsError, brokers, fields

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

PLAINTEXT, SASL_TLS = "PLAINTEXT", "SASL_SSL"
PROBE_TIMEOUT_S, CLOSE_TIMEOUT_S = 5.0, 0.2


class SecurityError(UserError):
    """The cluster does not let us in, or is not the one that we trust; the message says what to look at."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Arguments for the clients of aiokafka and of kafka-python, which agree in them. Raises SettingsError."""
    check(settings)
    options: dict[str, Any] = {"bootstrap_servers": settings.broker, "security_protocol": settings.security_protocol}
    if settings.security_protocol != PLAINTEXT:
        options["ssl_context"] = tls_context(settings)
    if settings.security_protocol == SASL_TLS:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password
    return options


def faust_credentials(settings: Settings) -> CredentialsT | None:
    """The same for Faust, which takes credentials without a TLS context for credentials over plaintext."""
    from faust.auth import SASLCredentials, SSLCredentials  # late: other clients need no Faust, nor what it imports

    check(settings)
    if settings.security_protocol == SASL_TLS:
        return SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password,
            mechanism=settings.sasl_mechanism,
            ssl_context=tls_context(settings),
        )
    return None if settings.security_protocol == PLAINTEXT else SSLCredentials(tls_context(settings))


def check(settings: Settings) -> None:
    """Raises SettingsError for what would send credentials in the clear, or would silently have no effect."""
    protocol, user, password = settings.security_protocol, settings.sasl_username, settings.sasl_password
    if protocol == "SASL_PLAINTEXT":
        raise SettingsError(
            "--security-protocol SASL_PLAINTEXT would send credentials and events unencrypted; use SASL_SSL"
        )
    if _is_set(settings, "sasl_") and protocol != SASL_TLS:
        raise SettingsError(
            f"--sasl-… is set, but --security-protocol is {protocol}; credentials go over TLS only: use SASL_SSL"
        )
    if protocol == SASL_TLS and not (user and password):
        raise SettingsError(
            "--security-protocol SASL_SSL needs --sasl-username and a password: set ZHICE_SASL_PASSWORD"
        )
    if protocol == PLAINTEXT and _is_set(settings, "ssl_"):
        raise SettingsError("--ssl-… is set, but --security-protocol is PLAINTEXT; use SSL or SASL_SSL")
    if bool(settings.ssl_cert) != bool(settings.ssl_key):
        raise SettingsError("--ssl-cert and --ssl-key belong together: set both, or none")


def _is_set(settings: Settings, group: str) -> bool:
    """Whether a setting whose name begins with `group` is another than by default."""
    return any(getattr(settings, one.name) != one.default for one in fields() if one.name.startswith(group))


def probe(settings: Settings) -> None:
    """One connection as the clients will make it, since they retry what will never succeed and do not say why.

    Raises SecurityError for a refused certificate or refused credentials; a broker that does not answer is none of
    its business. Not to be called from a coroutine.
    """
    if said := asyncio.run(refusal(settings)):
        raise SecurityError(said)


async def refusal(settings: Settings) -> str | None:
    """Why a broker refuses a connection as the clients make it; None where one lets it in, or none answers."""
    options = client_options(settings)
    del options["bootstrap_servers"]
    for host, port in brokers(settings.broker):
        try:
            await _connect(AIOKafkaConnection(host, port, **options))
        except (ssl.SSLError, ssl.CertificateError, KafkaError) as error:
            if said := _refusal(settings, f"{host}:{port}", error):
                return said
        except (OSError, TimeoutError):
            continue
        else:
            return None
    return None


async def _connect(connection: AIOKafkaConnection) -> None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await connection.connect()
    finally:
        await asyncio.wait({connection.close()}, timeout=CLOSE_TIMEOUT_S)


def _refusal(settings: Settings, address: str, error: Exception) -> str | None:
    cause = error.__cause__ or error  # the client wraps what TLS says
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {address} is not trusted ({cause.verify_message}): check --broker and --ssl-ca"
    if isinstance(cause, ssl.SSLError):
        return (
            f"{address} does not agree on TLS ({cause.reason}): check --security-protocol, --ssl-cert and its listener"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"{address} does not offer {settings.sasl_mechanism}: set another --sasl-mechanism"
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"{address} refuses user {settings.sasl_username!r} by {settings.sasl_mechanism}: "
            "check --sasl-username and ZHICE_SASL_PASSWORD"
        )
    return None


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Trusts --ssl-ca, or what the system trusts; shows --ssl-cert. Raises SettingsError for files it cannot use."""
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca or None)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"--ssl-ca {settings.ssl_ca}: not a file of PEM certificates ({_words(error)})") from None
    if settings.ssl_cert:
        try:
            context.load_cert_chain(settings.ssl_cert, settings.ssl_key, _no_passphrase)
        except OSError as error:
            raise SettingsError(
                f"--ssl-cert {settings.ssl_cert}, --ssl-key {settings.ssl_key}: not a PEM certificate with its "
                f"unencrypted key ({_words(error)})"
            ) from None
    return context


def _no_passphrase() -> str:
    """OpenSSL would ask at the terminal, where a worker has none."""
    return ""


def _words(error: OSError) -> str:
    return error.strerror or str(error)
