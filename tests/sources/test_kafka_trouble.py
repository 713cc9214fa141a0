"""A cluster that is away, refuses us or lacks the topic: told once, tried again, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.errors import ConfigurationError
from monitor.kafka import Cluster, KafkaTrouble, Sasl, look_up, trusting
from tests.process.daemon import free_port
from tests.process.servers import Server, kafka
from tests.sources.topics import Reading, World, eventually, listeners, new_name, news

PASSWORD = "right-password"


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A broker that these tests kill; each leaves it running."""
    with kafka() as server:
        yield server


def signing_in(broker: Server, *, mechanism: str = "SCRAM-SHA-512", password: str = PASSWORD) -> Cluster:
    sasl = Sasl(mechanism=mechanism, username="desk", password=password)
    return Cluster(brokers=listeners(broker)["sasl"], sasl=sasl)


async def test_a_broker_that_is_away_at_the_start_is_waited_for(own: Server) -> None:
    world = World(own)
    topic = await world.make()
    await world.write(topic, news(1))
    own.kill()
    try:
        with capture_logs() as logs:
            async with Reading(Cluster(brokers=own.address), topic) as reading:
                await reading.until(lambda: reading.source.error is not None)
                assert "cannot be reached" in (reading.source.error or "")
                await reading.until(  # it goes on trying
                    lambda: (reading.metric("newsquake_source_polls_total", outcome="unreachable") or 0) >= 3
                )
                await asyncio.to_thread(own.start)
                await reading.items(1)
                assert reading.source.error is None
        assert [entry["event"] for entry in logs] == ["a topic cannot be read", "the topic can be read again"]
    finally:
        await asyncio.to_thread(own.start) if not alive(own) else None


async def test_a_broker_that_is_killed_again_and_again_loses_nothing_and_repeats_nothing(own: Server) -> None:
    world = World(own)
    topic = await world.make(partitions=2)
    async with Reading(Cluster(brokers=own.address), topic) as reading:
        sent = 0
        for turn in range(3):
            for partition in range(2):
                await world.write(topic, *[news(sent + n) for n in range(50)], partition=partition)
                sent += 50
            if turn == 1:
                await reading.items(sent)
            await asyncio.to_thread(own.kill)
            if turn == 2:
                await reading.until(lambda: reading.source.error is not None)
            await asyncio.to_thread(own.start)
        items = await reading.items(sent)
        await world.write(topic, news(sent))
        items = await reading.items(sent + 1)
    assert sorted(int((item.guid or "n0")[1:]) for item in items) == list(range(sent + 1))


async def test_stopping_while_the_broker_is_away_does_not_hang(own: Server) -> None:
    world = World(own)
    topic = await world.make()
    await world.write(topic, news(1))
    try:
        async with Reading(Cluster(brokers=own.address), topic) as reading:
            await reading.items(1)
            await asyncio.to_thread(own.kill)
        # The end of the block waits for `close`.
    finally:
        await asyncio.to_thread(own.start)


def alive(broker: Server) -> bool:
    pid = (broker.folder / "pid").read_text().strip()
    return Path(f"/proc/{pid}").exists()


async def test_a_topic_that_is_missing_is_told_waited_for_and_not_made(world: World) -> None:
    topic = new_name()
    async with Reading(Cluster(brokers=world.brokers), topic) as reading:
        await reading.until(lambda: reading.source.error is not None)
        assert f"there is no topic '{topic}'" in (reading.source.error or "")
        await reading.until(lambda: (reading.metric("newsquake_source_polls_total", outcome="topic_missing") or 0) >= 2)
        assert topic not in await world.names()
        await world.make(name=topic)
        await reading.until(lambda: reading.source.error is None)
        await world.write(topic, news(1))
        await reading.items(1)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_the_right_password_reads_and_the_wrong_one_is_told_without_it(
    broker: Server, world: World, mechanism: str
) -> None:
    topic = await world.make()
    await world.write(topic, news(1))
    with capture_logs() as logs:
        async with Reading(signing_in(broker, mechanism=mechanism, password="hunter2"), topic) as reading:
            await reading.until(lambda: reading.source.error is not None)
            assert reading.source.error == f"{listeners(broker)['sasl']}: the username or the password is wrong"
            assert reading.taken == []
    assert "hunter2" not in str(logs)
    assert "hunter2" not in repr(signing_in(broker, password="hunter2"))
    async with Reading(signing_in(broker, mechanism=mechanism), topic) as reading:
        await reading.items(1)


async def test_a_certificate_that_is_vouched_for_is_trusted_and_no_other(
    broker: Server, world: World, tmp_path: Path
) -> None:
    topic = await world.make()
    await world.write(topic, news(1))
    ca = trusting(broker.folder / "ca.pem", None, None)
    async with Reading(Cluster(brokers=listeners(broker)["tls"], tls=ca), topic) as reading:
        await reading.items(1)
    sasl = Sasl(mechanism="PLAIN", username="desk", password=PASSWORD)
    async with Reading(Cluster(brokers=listeners(broker)["sasl_tls"], sasl=sasl, tls=ca), topic) as reading:
        await reading.items(1)
    strange = Cluster(brokers=listeners(broker)["tls"], tls=trusting(None, None, None))
    with pytest.raises(KafkaTrouble, match="certificate verify failed") as refused:
        await look_up(strange, topic)
    assert refused.value.outcome == "refused"
    other_name = listeners(broker)["tls"].replace("127.0.0.1", "localhost")
    with pytest.raises(KafkaTrouble, match="not valid for 'localhost'"):
        await look_up(Cluster(brokers=other_name, tls=ca), topic)
    (tmp_path / "none.pem").write_text("no certificate", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"none\.pem: cannot be read as PEM"):
        trusting(tmp_path / "none.pem", None, None)
    with pytest.raises(ConfigurationError, match=r"absent\.pem: cannot be read as PEM"):
        trusting(tmp_path / "absent.pem", None, None)


async def test_each_mistake_in_the_address_gets_a_plain_message(broker: Server, world: World) -> None:
    topic = await world.make()
    at = listeners(broker)
    sasl = Sasl(mechanism="PLAIN", username="desk", password=PASSWORD)
    for cluster, said in (
        (Cluster(brokers=at["tls"]), "the connection was closed; does this listener"),
        (Cluster(brokers=at["sasl"]), "the connection was closed; does this listener"),
        (Cluster(brokers=at["open"], tls=trusting(None, None, None)), "does this listener speak TLS?"),
        (Cluster(brokers=at["open"], sasl=sasl), "this listener takes no sign-in"),
        (Cluster(brokers=f"127.0.0.1:{free_port()}"), "cannot be reached"),
        (Cluster(brokers="no-such-host.invalid"), "no-such-host.invalid:9092: cannot be reached"),
    ):
        with pytest.raises(KafkaTrouble, match=r"\A[^\n]*\Z") as refused:
            await look_up(cluster, topic)
        assert said in str(refused.value)
    # One of several that answers is enough.
    assert await look_up(Cluster(brokers=f"127.0.0.1:{free_port()}, {at['open']}"), topic) == {0}


async def test_a_source_that_has_stopped_leaves_no_connection(world: World) -> None:
    topic, group = await world.make(), new_name()
    await world.write(topic, news(1))
    async with Reading(Cluster(brokers=world.brokers), topic, group=group) as reading:
        await reading.items(1)
    await reading.source.close()  # safe to call twice
    await eventually(lambda: world.group_is_at(topic, group, 1))
