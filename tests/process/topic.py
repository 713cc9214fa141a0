"""A topic of a real broker: who writes to it until each record is acknowledged, and what it holds in the end."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from tests.process.prose import Prose

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is away is meant to be away

HOSTILE = (  # values that are no article; each is written several times
    b"",
    b"Acme Bank sued",
    b"\xff\xfe\x00",
    b"[" * 5_000,
    b'{"title": 7}',
    b'["Acme Bank sued"]',
    b'{"title": "", "text": null}',
    b'{"title": "Acme", "published": "yesterday"}',
    None,  # a tombstone
)
EVERY = 10  # one record of so many is hostile


@dataclass(frozen=True, slots=True)
class _Record:
    number: int
    value: bytes | None
    title: str | None  # None: nobody can read it


class Writer:
    """Writes news, and some that is none, in a thread of its own; what is not acknowledged is written again."""

    def __init__(self, address: str, topic: str, partitions: int, prose: Prose) -> None:
        self._address = address
        self._topic = topic
        self._partitions = partitions
        self._prose = prose
        self._numbers = count(1)
        self._enough = threading.Event()
        self.acknowledged: dict[str, str] = {}  # titles by id

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write while the block runs; then let the last record be acknowledged."""
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(asyncio.run, self._write())
            try:
                yield
            finally:
                self._enough.set()
            written.result()

    async def _write(self) -> None:
        waiting: list[_Record] = []
        while waiting or not self._enough.is_set():
            producer = AIOKafkaProducer(
                bootstrap_servers=self._address, acks="all", enable_idempotence=True, request_timeout_ms=2_000
            )
            try:
                await producer.start()
                while waiting or not self._enough.is_set():
                    waiting = waiting or [self._record() for _ in range(3)]
                    await self._deliver(producer, waiting)
                    await asyncio.sleep(0.3)
            except (KafkaError, OSError):
                await asyncio.sleep(0.2)
            finally:
                await producer.stop()

    async def _deliver(self, producer: Any, waiting: list[_Record]) -> None:
        """Write what waits, and take from it what is acknowledged."""
        while waiting:
            record = waiting[0]
            await producer.send_and_wait(
                self._topic, record.value, partition=record.number % self._partitions, key=b"%d" % record.number
            )
            del waiting[0]
            if record.title is not None:
                self.acknowledged[f"topic-{record.number}"] = record.title

    def _record(self) -> _Record:
        number = next(self._numbers)
        if number % EVERY == 0:
            return _Record(number, HOSTILE[number // EVERY % len(HOSTILE)], None)
        title, text = self._prose.article()
        article = {
            "title": title,
            "text": text,
            "id": f"topic-{number}",
            "publisher": f"agency{number % 7}.example",
            "published": datetime.now(UTC).isoformat(),
        }
        return _Record(number, json.dumps(article).encode(), title)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a topic holds: the truth that the books are held against."""

    ends: Mapping[int, int]  # for each partition the offset that its next record will get
    titles: Mapping[str, str]  # by id
    hostile: Sequence[bytes]  # sorted; a tombstone is empty
    told: Mapping[int, int | None]  # how far the consumer group believes that we are


def contents(address: str, topic: str, partitions: int, group: str) -> Contents:
    """Read all that a topic holds, as the group that was told how far we are."""
    return asyncio.run(_contents(address, [TopicPartition(topic, each) for each in range(partitions)], group))


async def _contents(address: str, places: list[TopicPartition], group: str) -> Contents:
    titles: dict[str, str] = {}
    hostile: list[bytes] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=address, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(places)
        told = {place.partition: await consumer.committed(place) for place in places}
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, 0)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.value is not None and b'"id"' in record.value:
                        article = json.loads(record.value)
                        titles[article["id"]] = article["title"]
                    else:
                        hostile.append(record.value or b"")
    finally:
        await consumer.stop()
    return Contents(
        ends={place.partition: end for place, end in ends.items()}, titles=titles, hostile=sorted(hostile), told=told
    )
