"""Records to topics of one cluster, each acknowledged by every replica in sync."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer

from monitor.kafka import PATIENCE, Cluster, KafkaTrouble, hang_up, look_up, plainly

TOO_LARGE = "too_large"  # the outcome of a record that the cluster will never take


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is written. Records of one key stay in order."""

    key: str
    value: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Producer:
    """Connects at the first need. One whose record was not acknowledged is thrown away with all it holds.

    The library goes on trying an idempotent record for ever: what it delivered after we had given it up would come
    twice, and behind what was told later.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._producer: Any = None
        self._seen: set[str] = set()  # topics that are there
        self._turn = asyncio.Lock()

    async def send(self, topic: str, records: Sequence[Record]) -> Sequence[KafkaTrouble | None]:
        """Write records; for each None where it is acknowledged, or why it never will be. Waits for all of them.

        Raises KafkaTrouble where it is not known of some whether they were written: they may be sent again. The topic
        is not made.
        """
        async with self._turn:
            try:
                return await self._send(topic, records)
            except BaseException:  # cancelled, too: what is under way must not come later
                await self._hang_up()
                raise

    async def close(self) -> None:
        """Let go of the connections; safe to call twice."""
        async with self._turn:
            await self._hang_up()

    async def _send(self, topic: str, records: Sequence[Record]) -> list[KafkaTrouble | None]:
        producer = await self._ready(topic)
        async with plainly(self._cluster.brokers, topic), asyncio.timeout(2 * PATIENCE):
            sent = await asyncio.gather(*(self._one(producer, topic, each) for each in records))
        for trouble in sent:
            if trouble is not None and trouble.outcome != TOO_LARGE:
                raise trouble
        return sent

    async def _one(self, producer: Any, topic: str, record: Record) -> KafkaTrouble | None:
        headers = [(name, value.encode()) for name, value in record.headers]
        try:
            async with plainly(self._cluster.brokers, topic):
                await producer.send_and_wait(topic, record.value, key=record.key.encode(), headers=headers)
        except KafkaTrouble as trouble:
            return trouble
        return None

    async def _ready(self, topic: str) -> Any:
        if topic not in self._seen:
            await look_up(self._cluster, topic)
            self._seen.add(topic)
        if self._producer is None:
            async with plainly(self._cluster.brokers, topic):
                self._producer = AIOKafkaProducer(**self._cluster.options(), enable_idempotence=True, acks="all")
            async with plainly(self._cluster.brokers, topic), asyncio.timeout(2 * PATIENCE):
                await self._producer.start()
        return self._producer

    async def _hang_up(self) -> None:
        producer, self._producer = self._producer, None
        self._seen.clear()
        if producer is not None:
            sender = producer._sender  # noqa: SLF001 - see monitor.kafka.hang_up
            await hang_up(producer.stop(), sender.close(), producer.client.close())
