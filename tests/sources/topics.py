"""What the tests of Kafka share: a broker with its listeners, and a world that makes, fills and reads topics."""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from monitor.clock import SystemClock
from monitor.kafka import Cluster
from monitor.ports import Batch, Settled
from monitor.sources.kafka import KafkaSource, Topic
from monitor.telemetry import Telemetry
from monitor.types import DeadLetter, Outcome, Position, RawItem, SourceId
from tests.process.servers import Server

WIRE = SourceId("wire")
LONG = 60.0  # seconds; generous, for a busy machine


def listeners(broker: Server) -> Mapping[str, str]:
    """Return the addresses of a broker's listeners: `open`, `sasl`, `tls`, `sasl_tls`."""
    lines = (broker.folder / "listeners").read_text(encoding="utf-8").splitlines()
    return {name: address for name, _, address in (line.partition(" ") for line in lines)}


def new_name() -> str:
    return f"news-{uuid.uuid4().hex[:12]}"


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something has come about that has to be asked for again and again."""
    async with asyncio.timeout(LONG):
        while not await true():  # noqa: ASYNC110 - what is asked is a server, which tells of no event
            await asyncio.sleep(0.05)


class World:
    """What stands outside: it makes topics and writes to them."""

    def __init__(self, broker: Server) -> None:
        self.brokers = broker.address

    async def make(self, partitions: int = 1, name: str | None = None, **settings: str) -> str:
        """Make a topic; return its name."""
        name = name or new_name()
        async with self._admin() as admin:
            configs = {key.replace("_", "."): value for key, value in settings.items()}
            answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
            assert answer.topic_errors[0][1] == 0, answer
            await eventually(lambda: self._has(admin, name, partitions))
        return name

    async def names(self) -> set[str]:
        async with self._admin() as admin:
            return set(await admin.list_topics())

    async def delete(self, name: str) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([name])
            await eventually(lambda: self._has(admin, name, None))

    async def grow(self, name: str, partitions: int) -> None:
        async with self._admin() as admin:
            await admin.create_partitions({name: NewPartitions(partitions)})
            await eventually(lambda: self._has(admin, name, partitions))

    async def forget(self, name: str, before: int) -> None:
        """Delete the records of partition 0 before an offset, as retention does."""
        from aiokafka.admin import RecordsToDelete

        async with self._admin() as admin:
            await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=before)})

    async def write(self, topic: str, *values: object, partition: int = 0, **more: Any) -> None:
        """Write records: bytes as they are, everything else as JSON, None as a tombstone."""
        producer = AIOKafkaProducer(bootstrap_servers=self.brokers, max_request_size=20_000_000)
        await producer.start()
        try:
            raw = [value if isinstance(value, bytes | None) else json.dumps(value).encode() for value in values]
            sent = [await producer.send(topic, each, partition=partition, **more) for each in raw]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def read(self, topic: str, count: int) -> list[Any]:
        """Return the first records of a topic, however long it takes until they are there."""
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.brokers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            return [await consumer.getone() for _ in range(count)]
        finally:
            await consumer.stop()

    async def read_all(self, topic: str) -> list[Any]:
        """Return what is in the one partition of a topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.brokers)
        await consumer.start()
        try:
            end = (await consumer.end_offsets([TopicPartition(topic, 0)]))[TopicPartition(topic, 0)]
        finally:
            await consumer.stop()
        return await self.read(topic, end)

    async def group_offset(self, topic: str, group: str, partition: int = 0) -> int | None:
        async with self._admin() as admin:
            offsets = await admin.list_consumer_group_offsets(group)
            found = offsets.get(TopicPartition(topic, partition))
            return None if found is None or found.offset < 0 else int(found.offset)

    async def group_is_at(self, topic: str, group: str, offset: int) -> bool:
        return await self.group_offset(topic, group) == offset

    @staticmethod
    async def _has(admin: Any, name: str, partitions: int | None) -> bool:
        """Say whether a topic has so many partitions by now; None: whether it is gone."""
        sizes = {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}
        return sizes.get(name) == partitions

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


class Reading:
    """A source that is read by a task of its own, as the pipeline reads it, into `taken`; what is taken is committed.

    `positions` is what the database would hold: a reading that is given them goes on there.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        *,
        positions: Mapping[str, Position] | None = None,
        group: str = "newsquake",
        latest: bool = False,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.telemetry = Telemetry()
        self.source = KafkaSource(
            WIRE,
            Topic(cluster=cluster, name=topic, group=group, latest=latest, fields=fields),
            clock=SystemClock(),
            random=Random(1),
            telemetry=self.telemetry,
        )
        self.positions = dict(positions or {})
        self.taken: list[RawItem | DeadLetter] = []
        self.wanted = math.inf  # so many batches are asked for, and then no more until it is raised
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        async with asyncio.timeout(LONG):
            await self.source.close()

    async def _read(self) -> None:
        async for batch in self.source.batches(list(self.positions.values())):
            await self.commit(batch)
            self.wanted -= 1
            await eventually(self._may_go_on)

    async def _may_go_on(self) -> bool:
        return self.wanted > 0

    async def commit(self, batch: Batch) -> None:
        self.taken += batch.items
        if batch.position:
            self.positions[batch.position.partition] = batch.position
        await batch.receipt([Settled(outcome=Outcome.STORED) for _ in batch.items])

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something has come about."""
        assert self._task is not None
        async with asyncio.timeout(LONG):
            while not true():
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def items(self, count: int) -> Sequence[RawItem]:
        """Wait for so many items; return them all. None of them may be a dead letter."""
        await self.until(lambda: len(self.taken) >= count)
        items = [item for item in self.taken if isinstance(item, RawItem)]
        assert len(items) == len(self.taken)
        return items

    def metric(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(name, {"source": WIRE, **labels})


def news(number: int, **more: object) -> dict[str, object]:
    return {"id": f"n{number}", "title": f"Acme Bank fined for the {number}th time", **more}
