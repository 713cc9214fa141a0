"""A topic of Kafka as a source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, TypeVar

import structlog

from monitor.core.schedule import Heard, Rhythm, wait
from monitor.kafka import Cluster, KafkaTrouble
from monitor.ports import Batch, Clock, Settled
from monitor.sources.kafka_marks import Bounds, Marks
from monitor.sources.kafka_reader import TopicReader
from monitor.sources.kafka_values import TopicRecord, read_value
from monitor.sources.records import field_names
from monitor.telemetry import Telemetry
from monitor.types import Position, SourceId

RHYTHM = Rhythm(interval=timedelta(seconds=1), longest=timedelta(seconds=30))  # between two tries to connect
LOOK = 3.0  # seconds between two looks at how far the topic reaches
GROWTH = 3  # so many looks later it is asked whether the topic has got more partitions

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What is read, and how.

    group   the consumer group that is told how far we are
    latest  skip what was there before we first looked; else it is read, as history
    fields  where a record keeps what; see `field_names` and `read_value`
    """

    cluster: Cluster
    name: str
    group: str
    latest: bool = False
    fields: Mapping[str, str] | None = None


class KafkaSource:
    """Reads one topic, all of its partitions, from where the database says.

    What was in the topic when the source first looked is history: it feeds the baseline and raises nothing. A cluster
    that is away, refuses us or lacks the topic is logged once, counted, and tried again; each new try begins with a
    new connection at the position reached: `batches` ends only by `close`.
    """

    def __init__(self, source: SourceId, topic: Topic, *, clock: Clock, random: Random, telemetry: Telemetry) -> None:
        """Raises ConfigurationError for fields that there are not."""
        self._source = source
        self._topic = topic
        self._fields = field_names(topic.fields)
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._log = log.bind(source=source, topic=topic.name)
        self._closed = asyncio.Event()
        self._reader: TopicReader | None = None
        self._watch: asyncio.Task[None] | None = None
        self._settled: dict[int, int] = {}  # for each partition, the offset after the last record that is committed
        self._told: dict[int, int] = {}  # the same, as the group knows it
        self._stale = False  # the present connection is to be replaced
        self._group_trouble = ""
        self.success: datetime | None = None  # when the topic was last looked at, as far as this process knows
        self.error: str | None = None  # what keeps it from being read, in one sentence

    @property
    def id(self) -> SourceId:
        return self._source

    async def batches(self, resume: Sequence[Position]) -> AsyncGenerator[Batch, None]:
        marks = Marks.read(self._source, self._topic.name, resume)
        failures = 0
        while not self._closed.is_set():
            try:
                reader = await self._connect()
                for batch in await self._begin(reader, marks):
                    yield batch
                while not self._closed.is_set() and not self._stale:
                    self._check_watch()
                    for partition, records in (await reader.poll()).items():
                        failures = 0
                        yield await self._batch(marks, partition, records)
            except KafkaTrouble as trouble:
                failures += 1
                self._note(trouble)
            await self._disconnect()
            pause = wait(RHYTHM, Heard(failures=failures), self._random.random())
            await self._until_closed(self._clock.sleep(pause.total_seconds()))

    async def close(self) -> None:
        self._closed.set()
        if self._reader is not None and not self._stale:
            await self._stop_watching()
            await self._tell_group(self._reader)
        await self._disconnect()
        for partition in self._settled:
            for gauge in (self._telemetry.kafka_lag, self._telemetry.kafka_position):
                gauge.remove(self._source, str(partition))
        self._settled.clear()

    # --- a connection, from its beginning to its end ---

    async def _connect(self) -> TopicReader:
        topic = self._topic
        self._reader = await TopicReader.open(topic.cluster, topic.name, topic.group)
        self._stale = False
        return self._reader

    async def _begin(self, reader: TopicReader, marks: Marks) -> Sequence[Batch]:
        """Find out where to go on, and begin to read there. Returns what has to be committed before what is read."""
        bounds = await reader.bounds()
        positions: list[Position] = []
        if marks.met is None:
            positions.append(marks.meet(bounds, latest=self._topic.latest))
        start = marks.begin(bounds)
        for sentence in start.missing:
            self._telemetry.source_polls.labels(self._source, "records_missing").inc()
            self._log.error("records of a topic are missing", found=sentence)
        if start.remade:
            positions.append(marks.look())
            positions += [marks.advance(partition, start.offsets[partition]) for partition in start.remade]
        for partition, offset in start.offsets.items():
            self._settled.setdefault(partition, offset)
        self._settled.update((partition, start.offsets[partition]) for partition in start.remade)
        self._told = {}
        reader.begin(start.offsets)
        self._noted(bounds)
        self._watch = asyncio.create_task(self._watch_over(reader))
        return [Batch(source=self._source, items=(), position=position) for position in positions]

    async def _batch(self, marks: Marks, partition: int, records: Sequence[TopicRecord]) -> Batch:
        """Make one batch of records that follow each other in a partition."""
        now = self._clock.now()
        items = await asyncio.to_thread(  # parsing is work for the processor
            lambda: tuple(
                read_value(self._source, record, self._fields, now, history=marks.is_history(partition, record.offset))
                for record in records
            )
        )
        following = records[-1].offset + 1
        return Batch(
            source=self._source,
            items=items,
            position=marks.advance(partition, following),
            receipt=partial(self._settle, partition, following),
        )

    async def _settle(self, partition: int, following: int, _: Sequence[Settled]) -> None:
        """Note what is committed. Batches are committed in order, so that nothing before it is missing."""
        self._settled[partition] = following

    async def _disconnect(self) -> None:
        await self._stop_watching()
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    # --- watching over it ---

    async def _watch_over(self, reader: TopicReader) -> None:
        """Look how far the topic reaches, and tell the group how far we are; also while nobody asks for records.

        A cluster that does not answer is told at once; that the connection be made anew is left to the reader.
        """
        looks = 0
        while True:
            await self._clock.sleep(LOOK)
            looks += 1
            try:
                self._noted(await reader.bounds())
                if looks % GROWTH == 0 and await reader.grown():
                    self._log.info("the topic has got other partitions")
                    self._stale = True
            except KafkaTrouble as trouble:
                self._note(trouble)
                self._stale = True
            else:
                await self._tell_group(reader)

    def _check_watch(self) -> None:
        """Raise what ended the watch, if something did that nobody foresaw."""
        if self._watch is not None and self._watch.done():
            self._watch.result()

    async def _stop_watching(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _tell_group(self, reader: TopicReader) -> None:
        settled = {
            partition: offset for partition, offset in self._settled.items() if self._told.get(partition) != offset
        }
        if not settled:
            return
        try:
            await reader.commit(settled)
        except KafkaTrouble as trouble:
            if str(trouble) != self._group_trouble:
                self._log.warning("the consumer group was not told how far we are", error=str(trouble))
            self._group_trouble = str(trouble)
        else:
            self._told |= settled
            self._group_trouble = ""

    def _noted(self, bounds: Mapping[int, Bounds]) -> None:
        """Note that the topic answers, and how far we are."""
        if self.error is not None:
            self._log.info("the topic can be read again")
        self.error = None
        self.success = self._clock.now()
        self._telemetry.source_polls.labels(self._source, "ok").inc()
        self._telemetry.source_success.labels(self._source).set(self.success.timestamp())
        for partition, kept in bounds.items():
            settled = self._settled.get(partition, kept.first)
            self._telemetry.kafka_position.labels(self._source, str(partition)).set(settled)
            self._telemetry.kafka_lag.labels(self._source, str(partition)).set(max(0, kept.end - settled))

    def _note(self, trouble: KafkaTrouble) -> None:
        if str(trouble) != self.error:
            self._log.warning("a topic cannot be read", error=str(trouble))
        self.error = str(trouble)
        self._telemetry.source_polls.labels(self._source, trouble.outcome).inc()

    async def _until_closed(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`, or `close` where that comes first."""
        waits = [asyncio.ensure_future(work), asyncio.ensure_future(self._closed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
