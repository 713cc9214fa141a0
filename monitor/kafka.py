"""How a Kafka cluster is reached: addresses, credentials, TLS, and what went wrong in plain words.

aiokafka's own log lines repeat each failure for every try; here they come back as one `KafkaTrouble` instead. Its
typing is loose: what leaves this module, and the modules that call it, is typed again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from monitor.errors import ConfigurationError, NewsquakeError

PATIENCE = 10.0  # seconds in which a broker has to answer
FAREWELL = 5.0  # seconds that closing may take

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaTrouble(NewsquakeError):
    """The cluster cannot be used at present. `outcome` is one word for it, fit for a metric's label."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Sasl:
    """Credentials. `mechanism` is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster and how we sign in there. `brokers` is `host:port`, or several with commas between; see `trusting`."""

    brokers: str
    sasl: Sasl | None = None
    tls: ssl.SSLContext | None = None

    def options(self) -> dict[str, Any]:
        """Return what each of aiokafka's clients takes."""
        return {"bootstrap_servers": self.brokers, "metadata_max_age_ms": 60_000, **self.security()}

    def security(self) -> dict[str, Any]:
        """Return the part that also a bare connection takes."""
        transport = "PLAINTEXT" if self.tls is None else "SSL"
        given: dict[str, Any] = {
            "client_id": "newsquake",
            "request_timeout_ms": int(1000 * PATIENCE),
            "security_protocol": transport if self.sasl is None else f"SASL_{transport}",
        }
        if self.tls is not None:
            given["ssl_context"] = self.tls
        if self.sasl is not None:
            given["sasl_mechanism"] = self.sasl.mechanism
            given["sasl_plain_username"] = self.sasl.username
            given["sasl_plain_password"] = self.sasl.password
        return given

    def addresses(self) -> list[tuple[str, int]]:
        """Return the brokers as host and port; the port is 9092 where none is given."""
        found: list[tuple[str, int]] = []
        for each in self.brokers.split(","):
            host, colon, port = each.strip().rpartition(":")
            found.append((host.strip("[]"), int(port)) if colon else (port, 9092))
        return found


async def look_up(cluster: Cluster, topic: str) -> frozenset[int]:
    """Return the partitions of a topic, without making it. Raise KafkaTrouble where it cannot be seen.

    A connection of its own is asked, because aiokafka's clients say no more than that none of the brokers could be
    used, and because asking after a topic through them makes it where the cluster makes topics that are asked for.
    """
    refusals: list[KafkaTrouble] = []
    for host, port in cluster.addresses():
        try:
            async with plainly(f"{host}:{port}"), asyncio.timeout(2 * PATIENCE):
                return await _ask(cluster, host, port, topic)
        except KafkaTrouble as trouble:
            if trouble.outcome == "topic_missing":
                raise
            refusals.append(trouble)
    raise KafkaTrouble(refusals[0].outcome, "; ".join(str(each) for each in refusals))


async def _ask(cluster: Cluster, host: str, port: int, topic: str) -> frozenset[int]:
    connection: Any = await create_conn(host, port, **cluster.security())
    try:
        answer = await connection.send(MetadataRequest([topic], allow_auto_topic_creation=False))
    finally:
        connection.close()
    [(code, _, _, partitions)] = answer.topics
    if code:
        raise _of(errors.for_code(code)(), f"{host}:{port}", topic)
    return frozenset(partition[1] for partition in partitions)


@asynccontextmanager
async def plainly(address: str, topic: str = "") -> AsyncIterator[None]:
    """Turn whatever aiokafka raises inside into KafkaTrouble."""
    try:
        yield
    except (errors.KafkaError, OSError, TimeoutError, ValueError, AssertionError) as error:
        raise _of(error, address, topic) from error


OUTCOMES: Mapping[type[BaseException], tuple[str, str]] = {
    errors.UnknownTopicOrPartitionError: (
        "topic_missing",
        "{address}: there is no topic {topic!r}, or it may not be seen; newsquake does not make topics",
    ),
    errors.LeaderNotAvailableError: ("unreachable", "{address}: the topic {topic!r} has no leader at present"),
    errors.InvalidTopicError: ("topic_missing", "{address}: {topic!r} is not a name that a topic may have"),
    errors.TopicAuthorizationFailedError: ("refused", "{address}: this user may not use the topic {topic!r}"),
    errors.GroupAuthorizationFailedError: ("refused", "{address}: this user may not use the consumer group"),
    errors.SaslAuthenticationFailed: ("refused", "{address}: the username or the password is wrong"),
    errors.UnsupportedSaslMechanismError: ("refused", "{address}: the broker does not offer this SASL mechanism"),
    errors.AuthenticationFailedError: ("refused", "{address}: the credentials were refused"),
    errors.MessageSizeTooLargeError: ("too_large", "{address}: a record is larger than the topic {topic!r} takes"),
    errors.OffsetOutOfRangeError: ("out_of_range", "{address}: the topic {topic!r} no longer keeps what comes next"),
    ssl.SSLError: ("refused", "{address}: no TLS connection ({error})"),
    TimeoutError: ("unreachable", "{address}: no answer within {patience:.0f} s"),
    errors.KafkaTimeoutError: ("unreachable", "{address}: no answer within {patience:.0f} s"),
    errors.RequestTimedOutError: ("unreachable", "{address}: no answer within {patience:.0f} s"),
    errors.KafkaConnectionError: (
        "unreachable",
        "{address}: the connection was closed; does this listener expect TLS or a sign-in?",
    ),
    errors.IllegalSaslStateError: ("refused", "{address}: this listener takes no sign-in; leave `sasl` out"),
    ConnectionResetError: (
        "unreachable",
        "{address}: the connection was closed; does this listener speak TLS?",
    ),
    OSError: ("unreachable", "{address}: cannot be reached ({error})"),
}


def _of(error: BaseException, address: str, topic: str) -> KafkaTrouble:
    for kind, (outcome, text) in OUTCOMES.items():
        if isinstance(error, kind):
            detail = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            return KafkaTrouble(outcome, text.format(address=address, topic=topic, error=detail, patience=PATIENCE))
    return KafkaTrouble("failed", f"{address}: {type(error).__name__}: {error}")


async def hang_up(*steps: Coroutine[Any, Any, None]) -> None:
    """Stop a consumer or a producer, whatever becomes of the brokers: each step within `FAREWELL` seconds.

    The library's own `stop` waits for brokers that may never come back, and breaks off half-way where a request of its
    own was cancelled. So its parts are stopped one by one after it; that they have stopped already does not matter.
    Raises nothing.
    """
    for step in steps:
        task = asyncio.ensure_future(step)
        try:
            await asyncio.wait([task], timeout=FAREWELL)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def trusting(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return what checks the brokers' certificates and names, from PEM files.

    ca           who vouches for the brokers; None: whom the system trusts
    certificate  our own, where the brokers ask for one, and its key

    Raise ConfigurationError where a file cannot be read as what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(each) for each in (ca, certificate, key) if each)
        raise ConfigurationError(f"tls: {files}: cannot be read as PEM certificates ({error})") from error
    return context
