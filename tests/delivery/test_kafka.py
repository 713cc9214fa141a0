"""Incidents, scored articles and dead letters on a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from random import Random

import pytest

from monitor.core.exports import dead_letter_export, scored_export
from monitor.core.message import payload
from monitor.delivery.exports import Exporter
from monitor.delivery.producer import Producer, Record
from monitor.delivery.targets.kafka import KafkaTarget
from monitor.kafka import Cluster, KafkaTrouble
from monitor.ports import Export, Rejected, Retry, Sent
from monitor.telemetry import Telemetry
from monitor.types import Change, DeadLetter, EntityId, Mention, Score, Sentiment
from tests.api.conftest import an_incident
from tests.fakes import FakeClock, FakeStore
from tests.process.daemon import free_port
from tests.process.servers import Server, kafka
from tests.samples import DESK, MODEL, T0, WIRE, article, message
from tests.sources.topics import World, new_name


@pytest.fixture(scope="module")
def broker() -> Iterator[Server]:
    """A broker that these tests kill; each leaves it running."""
    with kafka() as server:
        yield server


@pytest.fixture
def world(broker: Server) -> World:
    return World(broker)


def at(world: World) -> Cluster:
    return Cluster(brokers=world.brokers)


async def test_a_message_is_a_record_under_its_incident_with_its_stable_key(world: World) -> None:
    topic = await world.make(partitions=3)
    target = KafkaTarget(DESK, topic, producer=Producer(at(world)))
    opened, resolved = (message(an_incident(1), change) for change in (Change.OPENED, Change.RESOLVED))
    assert await target.send(opened, 1) == Sent()
    assert await target.send(resolved, 1) == Sent()
    await target.close()
    await target.close()
    first, second = await world.read(topic, 2)
    assert first.key == second.key == opened.incident.id.encode()
    assert first.partition == second.partition
    assert dict(first.headers) == {"newsquake-key": opened.key.encode(), "newsquake-type": b"incident.opened"}
    assert json.loads(first.value) == payload(opened)
    assert json.loads(second.value)["type"] == "incident.resolved"


async def test_a_topic_that_is_missing_is_not_made_and_the_message_waits(world: World) -> None:
    topic = new_name()
    target = KafkaTarget(DESK, topic, producer=Producer(at(world)))
    assert await target.send(message(an_incident(1)), 1) == Retry("topic_missing")
    assert topic not in await world.names()
    await world.make(name=topic)
    assert await target.send(message(an_incident(1)), 2) == Sent()
    await target.close()


async def test_a_broker_that_is_away_is_a_reason_to_wait(broker: Server, world: World) -> None:
    nobody = KafkaTarget(DESK, "t", producer=Producer(Cluster(brokers=f"127.0.0.1:{free_port()}")))
    assert await nobody.send(message(an_incident(1)), 1) == Retry("unreachable")
    await nobody.close()
    topic = await world.make()
    target = KafkaTarget(DESK, topic, producer=Producer(at(world)))
    assert await target.send(message(an_incident(1)), 1) == Sent()
    broker.kill()
    try:
        assert isinstance(await target.send(message(an_incident(2)), 1), Retry)
    finally:
        await asyncio.to_thread(broker.start)
    assert await target.send(message(an_incident(2)), 2) == Sent()
    await target.close()
    # The first try's record died with its producer: it does not come late, behind what was told after it.
    assert [each.key for each in await world.read(topic, 2)] == [an_incident(number).id.encode() for number in (1, 2)]


async def test_a_record_that_is_larger_than_the_topic_takes_is_rejected_and_the_others_are_not(world: World) -> None:
    topic = await world.make(max_message_bytes="1000")
    producer = Producer(at(world))
    records = [Record(key=str(size), value=bytes(size)) for size in (10, 20_000, 2_000_000)]
    small, middle, large = await producer.send(topic, records)
    assert small is None
    assert (middle and middle.outcome, large and large.outcome) == ("too_large", "too_large")
    await producer.close()
    [record] = await world.read(topic, 1)
    assert record.key == b"10"


async def test_a_message_that_is_too_large_is_given_up(world: World) -> None:
    topic = await world.make(max_message_bytes="100")
    target = KafkaTarget(DESK, topic, producer=Producer(at(world)))
    assert await target.send(message(an_incident(1)), 1) == Rejected("too_large")
    await target.close()


# --- exports ---


def exporter(world: World, store: FakeStore, telemetry: Telemetry, **topics: str) -> Exporter:
    return Exporter(
        topics=topics,
        producer=Producer(at(world)),
        store=store,
        clock=FakeClock(),
        random=Random(1),
        telemetry=telemetry,
    )


async def hold(store: FakeStore, *exports: Export) -> None:
    async with store.transaction() as transaction:
        await transaction.export(exports)


def letter(number: int) -> DeadLetter:
    return DeadLetter(source=WIRE, raw=b"\xff\x00", error=f"bad {number}", received=T0 + timedelta(seconds=number))


async def test_what_is_exported_is_written_in_order_and_forgotten(world: World) -> None:
    scored, dead, telemetry, store = await world.make(), await world.make(), Telemetry(), FakeStore()
    one = article("one")
    whole = Mention(article=one)
    acme = Mention(article=one, entity=EntityId("acme"), spans=((0, 4),))
    bad = Sentiment(negative=0.75, neutral=0.25, positive=0.0)
    scores = [
        Score(mention=each, sentiment=bad, topics={"Energy": 0.5} if each is whole else {}, model=MODEL, scored=T0)
        for each in (whole, acme)
    ]
    await hold(store, scored_export(one, scores), *(dead_letter_export(letter(number)) for number in range(600)))
    exports = exporter(world, store, telemetry, scored=scored, dead_letters=dead)
    await exports.drain()
    await exports.close()
    assert await store.exports(1) == ()
    [record] = await world.read(scored, 1)
    value = json.loads(record.value)
    assert record.key.decode() == value["id"] == one.id
    assert value["entities"] == [{"id": "acme", "sentiment": value["sentiment"]}]
    assert value["sentiment"] == {"label": "negative", "negative": 0.75, "neutral": 0.25, "positive": 0.0}
    assert (value["title"], value["topics"], value["model"]) == (one.title, {"Energy": 0.5}, MODEL)
    errors = [json.loads(each.value)["error"] for each in await world.read(dead, 600)]
    assert errors == [f"bad {number}" for number in range(600)]
    assert (
        telemetry.registry.get_sample_value("newsquake_exports_total", {"kind": "dead_letters", "outcome": "sent"})
        == 600
    )


async def test_what_cannot_be_written_waits_in_the_store_and_comes_under_the_same_key(world: World) -> None:
    topic, store, telemetry = new_name(), FakeStore(), Telemetry()
    await hold(store, dead_letter_export(letter(1)))
    exports = exporter(world, store, telemetry, dead_letters=topic)
    with pytest.raises(KafkaTrouble, match="there is no topic"):
        await exports.round()
    assert len(await store.exports(9)) == 1
    await world.make(name=topic)
    assert await exports.round()
    await hold(store, dead_letter_export(letter(1)))  # as after a crash between acknowledgement and deletion
    assert await exports.round()
    await exports.close()
    first, again = await world.read(topic, 2)
    assert (first.key, first.value) == (again.key, again.value)


async def test_what_is_no_longer_exported_is_dropped_and_counted(world: World) -> None:
    store, telemetry = FakeStore(), Telemetry()
    await hold(store, dead_letter_export(letter(1)))
    exports = exporter(world, store, telemetry)
    await exports.drain()
    assert await store.exports(9) == ()
    assert (
        telemetry.registry.get_sample_value("newsquake_exports_total", {"kind": "dead_letters", "outcome": "dropped"})
        == 1
    )


def test_a_long_dead_letter_is_exported_in_part() -> None:
    long = DeadLetter(source=WIRE, raw=bytes(1_000_000), error="long", received=T0)
    value = dead_letter_export(long).value
    assert value["bytes"] == 1_000_000
    assert len(json.dumps(value)) < 400_000
