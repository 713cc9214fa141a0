"""One connection that reads one topic: a thin, typed layer over aiokafka's consumer whose errors are plain.

Partitions are assigned by hand: a group's rebalancing would give them to whoever else joins it, while the position
that counts is in our database. The group only learns how far we are. Nothing here waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError

from monitor.kafka import FAREWELL, PATIENCE, Cluster, KafkaTrouble, hang_up, look_up, plainly
from monitor.sources.kafka_marks import Bounds
from monitor.sources.kafka_values import TopicRecord

POLL = 0.5  # seconds in which new records are waited for
AT_ONCE = 256  # records taken at once, over all partitions
FETCHED = 1_048_576  # bytes of one partition fetched ahead; a record that is larger comes alone


class TopicReader:
    """Reads the partitions that a topic had when it was opened. Each method raises KafkaTrouble, and nothing else."""

    def __init__(self, consumer: Any, cluster: Cluster, topic: str, partitions: frozenset[int]) -> None:
        self.partitions = partitions
        self._consumer = consumer
        self._cluster = cluster
        self._topic = topic
        self._known = [TopicPartition(topic, partition) for partition in sorted(partitions)]

    @classmethod
    async def open(cls, cluster: Cluster, topic: str, group: str) -> Self:
        """Sign in and find the topic."""
        partitions = await look_up(cluster, topic)
        async with plainly(cluster.brokers, topic):
            consumer = AIOKafkaConsumer(
                **cluster.options(),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",  # what its producer took back was never news
                max_partition_fetch_bytes=FETCHED,
            )
        reader = cls(consumer, cluster, topic, partitions)
        try:
            async with plainly(cluster.brokers, topic), asyncio.timeout(2 * PATIENCE):
                await consumer.start()
        except BaseException:
            await reader.close()
            raise
        return reader

    async def bounds(self) -> Mapping[int, Bounds]:
        """Return what each partition keeps at present."""
        async with plainly(self._cluster.brokers, self._topic), asyncio.timeout(2 * PATIENCE):
            first = await self._consumer.beginning_offsets(self._known)
            end = await self._consumer.end_offsets(self._known)
        return {each.partition: Bounds(first=first[each], end=end[each]) for each in self._known}

    async def grown(self) -> bool:
        """Say whether the topic has other partitions than when it was opened."""
        return await look_up(self._cluster, self._topic) != self.partitions

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Read each partition from its offset on."""
        self._consumer.assign(self._known)
        for each in self._known:  # at once: between the two the consumer would ask the group where to begin
            self._consumer.seek(each, offsets[each.partition])

    async def poll(self) -> Mapping[int, Sequence[TopicRecord]]:
        """Return the records that come next, after `POLL` seconds at most; of each partition in its order.

        While nobody asks, the consumer holds what it has fetched ahead and fetches no more: that is how a full
        pipeline slows the topic down. Its `pause` would throw that away, and fetch it once more.
        """
        async with plainly(self._cluster.brokers, self._topic):
            records = await self._consumer.getmany(timeout_ms=int(1000 * POLL), max_records=AT_ONCE)
        return {each.partition: cast("Sequence[TopicRecord]", taken) for each, taken in records.items()}

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group how far we are."""
        told = {TopicPartition(self._topic, partition): offset for partition, offset in offsets.items()}
        try:
            async with plainly(self._cluster.brokers, self._topic), asyncio.timeout(FAREWELL):
                await self._consumer.commit(told)
        except KafkaTrouble as trouble:
            if isinstance(trouble.__cause__, CommitFailedError):
                raise KafkaTrouble(
                    "group_in_use",
                    f"{self._cluster.brokers}: the consumer group has other members, so that it is not told how far "
                    "we are; nothing is lost by it; give this source a `group` of its own",
                ) from trouble
            raise

    async def close(self) -> None:
        """Let go of the connections."""
        client = self._consumer._client  # noqa: SLF001 - see hang_up
        await hang_up(self._consumer.stop(), client.close())
