"""A topic as a source, on a real broker."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from monitor.errors import ConfigurationError
from monitor.kafka import Cluster
from monitor.types import DeadLetter, Position
from tests.sources.topics import WIRE, Reading, World, eventually, new_name, news


def at(world: World) -> Cluster:
    return Cluster(brokers=world.brokers)


async def met(reading: Reading) -> None:
    """Wait until the source has looked at its topic."""
    await reading.until(lambda: "" in reading.positions and reading.source.success is not None)


# --- what a record becomes ---


async def test_a_record_becomes_an_item(world: World) -> None:
    topic = await world.make()
    async with Reading(at(world), topic) as reading:
        await met(reading)
        await world.write(topic, news(1, text="Shares fall.", url="https://a.example/1", publisher="A Daily"))
        [item] = await reading.items(1)
        assert (item.title, item.body, item.guid) == ("Acme Bank fined for the 1th time", "Shares fall.", "n1")
        assert (item.link, item.publisher) == ("https://a.example/1", "A Daily")
        assert not item.history
        assert item.published == item.handed_over <= item.received


async def test_two_topics_have_mappings_of_their_own(world: World) -> None:
    first, second = await world.make(), await world.make()
    nested = {"title": "article.head", "id": "@key", "publisher": "@header.desk"}
    async with Reading(at(world), first) as plain, Reading(at(world), second, fields=nested) as mapped:
        await met(plain)
        await met(mapped)
        await world.write(first, {"headline": "One", "source": "Wire"})
        await world.write(second, {"article": {"head": "Two"}}, key=b"k2", headers=[("desk", b"Ledger")])
        [one], [two] = await plain.items(1), await mapped.items(1)
    assert (one.title, one.publisher, one.guid) == ("One", "Wire", None)
    assert (two.title, two.publisher, two.guid) == ("Two", "Ledger", "k2")


async def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(world: World) -> None:
    topic = await world.make()
    bad = {
        b"\xff\xfe": "no JSON",
        b"{": "no JSON",
        b"[1]": "no JSON object",
        b"[" * 100_000: "no JSON",
        b'{"title":' * 5_000 + b"1" + b"}" * 5_000: "no JSON",
        b'{"title": 7}': "title is a number; expected text",
        b'{"title": "T", "published": "soon"}': "published: found 'soon'",
        b'{"other": 1}': "there is no text",
        b" " * (10 * 1024 * 1024 + 1): "10,485,761 bytes; expected at most 10,485,760",
    }
    async with Reading(at(world), topic) as reading:
        await met(reading)
        await world.write(topic, *bad, key=b"k", headers=[("h", b"v")])
        await world.write(topic, None, news(1), key=b"k")
        await reading.until(lambda: len(reading.taken) == len(bad) + 2)
        letters = [each for each in reading.taken if isinstance(each, DeadLetter)]
        for offset, (letter, (value, said)) in enumerate(zip(letters, bad.items(), strict=False)):
            assert said in letter.error
            assert letter.error.startswith(f"{topic}, partition 0, offset {offset}: ")
            head, _, kept = letter.raw.partition(b"\n")
            assert kept == (value if len(value) <= 10 * 1024 * 1024 else value[: 64 * 1024])
            assert json.loads(head)["key"] == "aw=="
            assert json.loads(head)["headers"] == [["h", "dg=="]]
            assert json.loads(head)["bytes"] == len(value)
        assert "a tombstone" in letters[-1].error
        assert json.loads(letters[-1].raw)["bytes"] is None
        assert not isinstance(reading.taken[-1], DeadLetter)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read(world: World, compression: str) -> None:
    topic = await world.make()
    producer = AIOKafkaProducer(bootstrap_servers=world.brokers, compression_type=compression)
    await producer.start()
    await asyncio.gather(*[await producer.send(topic, json.dumps(news(n)).encode()) for n in range(20)])
    await producer.stop()
    async with Reading(at(world), topic) as reading:
        assert [item.guid for item in await reading.items(20)] == [f"n{n}" for n in range(20)]


# --- where reading begins ---


async def test_what_was_there_before_is_history_also_after_a_restart_half_way(world: World) -> None:
    topic = await world.make()
    for start in range(0, 600, 100):
        await world.write(topic, *[news(n) for n in range(start, start + 100)])
    async with Reading(at(world), topic) as first:
        first.wanted = 2  # the first look, and one batch
        await first.items(1)
    taken = len(first.taken)
    assert taken < 600
    await world.write(topic, news(600))
    async with Reading(at(world), topic, positions=first.positions) as second:
        rest = await second.items(601 - taken)
    ids = [item.guid for item in (*await first.items(taken), *rest)]
    assert ids == [f"n{n}" for n in range(601)]
    assert all(item.history for item in (*await first.items(taken), *rest[:-1]))
    assert not rest[-1].history


async def test_latest_skips_what_was_there_and_nothing_that_comes(world: World) -> None:
    topic = await world.make()
    await world.write(topic, news(1), news(2))
    async with Reading(at(world), topic, latest=True) as reading:
        await met(reading)
    await world.write(topic, news(3))  # while nobody reads, and before a record was ever read
    async with Reading(at(world), topic, positions=reading.positions, latest=True) as reading:
        [item] = await reading.items(1)
    assert (item.guid, item.history) == ("n3", False)


async def test_each_partition_goes_on_where_it_was_left(world: World) -> None:
    topic = await world.make(partitions=3)
    positions: dict[str, Position] = {}
    taken: list[str | None] = []
    for turn in range(3):
        for partition in range(3):
            await world.write(topic, *[news(100 * turn + 10 * partition + n) for n in range(5)], partition=partition)
        async with Reading(at(world), topic, positions=positions) as reading:
            taken += [item.guid for item in await reading.items(15)]
            positions = reading.positions
    assert len(taken) == len(set(taken)) == 45
    assert {name: position.value.get("offset") for name, position in positions.items() if name} == {
        "0": 15,
        "1": 15,
        "2": 15,
    }


async def test_the_position_of_another_topic_counts_for_nothing(world: World) -> None:
    topic = await world.make()
    await world.write(topic, news(1))
    elsewhere = {"0": Position(source=WIRE, partition="0", value={"topic": "another", "offset": 1})}
    async with Reading(at(world), topic, positions=elsewhere) as reading:
        [item] = await reading.items(1)
    assert item.history


async def test_a_partition_that_is_added_is_read_from_its_beginning_as_news(world: World) -> None:
    topic = await world.make()
    await world.write(topic, news(1))
    async with Reading(at(world), topic) as reading:
        await reading.items(1)
        await world.grow(topic, 2)
        await world.write(topic, news(2), partition=1)
        _, added = await reading.items(2)
    assert (added.guid, added.history) == ("n2", False)


async def test_records_that_retention_took_are_told_and_the_rest_is_read(world: World) -> None:
    topic = await world.make()
    await world.write(topic, news(1), news(2), news(3))
    async with Reading(at(world), topic) as reading:
        await met(reading)
        positions = {"": reading.positions[""]}
    await world.forget(topic, 2)
    async with Reading(at(world), topic, positions=positions) as reading:
        [item] = await reading.items(1)
        assert item.guid == "n3"
        assert reading.metric("newsquake_source_polls_total", outcome="records_missing") == 1


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning_as_news(world: World) -> None:
    topic = await world.make()
    await world.write(topic, news(1), news(2), news(3))
    async with Reading(at(world), topic) as reading:
        await reading.items(3)
    await world.delete(topic)
    await world.make(name=topic)
    await world.write(topic, news(4))
    async with Reading(at(world), topic, positions=reading.positions) as again:
        [item] = await again.items(1)
        assert (item.guid, item.history) == ("n4", False)
    async with Reading(at(world), topic, positions=again.positions) as after:
        await world.write(topic, news(5))
        [item] = await after.items(1)
        assert (item.guid, item.history) == ("n5", False)


async def test_what_a_producer_took_back_is_not_read(world: World) -> None:
    topic = await world.make()
    producer = AIOKafkaProducer(bootstrap_servers=world.brokers, transactional_id=new_name())
    await producer.start()
    for number, kept in ((1, False), (2, True)):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, json.dumps(news(number)).encode())
        await (producer.commit_transaction() if kept else producer.abort_transaction())
    await producer.stop()
    async with Reading(at(world), topic) as reading:
        [item] = await reading.items(1)
    assert item.guid == "n2"


async def test_a_timestamp_is_the_hand_over_but_never_later_than_the_receipt(world: World) -> None:
    topic = await world.make()
    yesterday = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    async with Reading(at(world), topic) as reading:
        await met(reading)
        await world.write(topic, news(1), timestamp_ms=int(yesterday.timestamp() * 1000))
        await world.write(
            topic, news(2), timestamp_ms=int((datetime.now(UTC) + timedelta(minutes=30)).timestamp() * 1000)
        )
        past, future = await reading.items(2)
    assert past.handed_over == past.published == yesterday
    assert future.handed_over == future.received


# --- how far we are ---


async def test_the_group_follows_what_is_committed_and_the_metrics_tell_it(world: World) -> None:
    topic, group = await world.make(), new_name()
    await world.write(topic, *[news(n) for n in range(300)])
    async with Reading(at(world), topic, group=group) as reading:
        reading.wanted = 2  # the first look, and one batch
        await reading.items(1)
        taken = len(reading.taken)
        assert taken < 300
        await reading.until(lambda: reading.metric("newsquake_kafka_position", partition="0") == taken)
        assert reading.metric("newsquake_kafka_lag", partition="0") == 300 - taken
        await eventually(lambda: world.group_is_at(topic, group, taken))
        reading.wanted = math.inf
        await reading.items(300)
    assert await world.group_offset(topic, group) == 300
    assert reading.metric("newsquake_kafka_lag", partition="0") is None  # what has gone lags behind nothing


async def test_somebody_else_in_the_group_takes_nothing_from_us(world: World) -> None:
    from aiokafka import AIOKafkaConsumer

    topic, group = await world.make(partitions=2), new_name()
    async with Reading(at(world), topic, group=group) as reading:
        await met(reading)
        other = AIOKafkaConsumer(topic, bootstrap_servers=world.brokers, group_id=group)
        await other.start()
        try:
            assert len(other.assignment()) == 2
            for number in range(10):
                await world.write(topic, news(number), partition=number % 2)
            assert len(await reading.items(10)) == 10
            await reading.until(lambda: "other members" in reading.source._group_trouble)
            assert reading.source.error is None
        finally:
            await other.stop()
        await reading.until(lambda: reading.source._group_trouble == "")
    assert [await world.group_offset(topic, group, partition) for partition in range(2)] == [5, 5]


async def test_a_slow_desk_slows_the_topic_and_loses_nothing(world: World) -> None:
    topic = await world.make(partitions=2)
    text = "x" * 20_000
    for partition in range(2):
        for start in range(0, 500, 50):
            batch = [news(1000 * partition + start + n, text=text) for n in range(50)]
            await world.write(topic, *batch, partition=partition)
    async with Reading(at(world), topic) as reading:
        reading.wanted = 1
        await met(reading)
        looks = reading.metric("newsquake_source_polls_total", outcome="ok") or 0
        await reading.until(  # it goes on looking while nobody asks for more
            lambda: (reading.metric("newsquake_source_polls_total", outcome="ok") or 0) >= looks + 3
        )
        assert len(reading.taken) == 0
        assert reading.metric("newsquake_kafka_lag", partition="0") == 500
        reader = reading.source._reader
        assert reader is not None
        held = sum(
            each._partition_records._records.size_in_bytes() for each in reader._consumer._fetcher._records.values()
        )
        assert 0 < held < 4_000_000, "of twenty megabytes only the next are fetched ahead"
        reading.wanted = math.inf
        items = await reading.items(1000)
    assert len({item.guid for item in items}) == 1000


def test_a_mapping_of_a_field_that_there_is_not_is_refused() -> None:
    from monitor.sources.records import field_names

    with pytest.raises(ConfigurationError, match="found titel; expected some of title"):
        field_names({"titel": "headline"})
