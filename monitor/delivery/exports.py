"""Bringing scored articles and dead letters to topics.

What is to be exported is stored in the transaction that commits it, and deleted once every record of it is
acknowledged: nothing is lost, and after a crash in between the same records come again under the same keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random

import structlog

from monitor.core.schedule import Heard, Rhythm, wait
from monitor.delivery.producer import Producer, Record
from monitor.errors import NewsquakeError, OwnershipLost, StoreError
from monitor.kafka import KafkaTrouble
from monitor.ports import Clock, ExportStore, Waiting
from monitor.telemetry import Telemetry

AT_ONCE = 500
POLL = 1.0  # seconds between two looks where there was nothing
RHYTHM = Rhythm(interval=timedelta(seconds=1), longest=timedelta(seconds=30))  # between two tries

log = structlog.get_logger()


class Exporter:
    """Empties the store's exports into their topics, in the order of their commits."""

    def __init__(
        self,
        *,
        topics: Mapping[str, str],
        producer: Producer,
        store: ExportStore,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
    ) -> None:
        """`topics` names the topic of each kind. `producer` is closed with this."""
        self._topics = topics
        self._producer = producer
        self._store = store
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._trouble = ""

    async def run(self) -> None:
        """Export for ever. Ends only by OwnershipLost, or cancelled."""
        failures = 0
        while True:
            try:
                more = await self.round()
            except OwnershipLost:
                raise
            except (KafkaTrouble, StoreError) as trouble:
                failures += 1
                self._note(trouble)
                pause = wait(RHYTHM, Heard(failures=failures), self._random.random())
                await self._clock.sleep(pause.total_seconds())
            else:
                failures, self._trouble = 0, ""
                if not more:
                    await self._clock.sleep(POLL)

    async def round(self) -> bool:
        """Export what comes next; return whether there was something.

        Raise KafkaTrouble or StoreError where it could not be, or it is not known whether it was.
        """
        waiting = await self._store.exports(AT_ONCE)
        for kind in dict.fromkeys(each.export.kind for each in waiting):
            await self._write(kind, [each for each in waiting if each.export.kind == kind])
        if waiting:
            async with self._store.transaction() as transaction:
                await transaction.exported(waiting[-1].number)
        return bool(waiting)

    async def drain(self) -> None:
        """Export what is there; give up at the first trouble: the rest stays in the store."""
        try:
            while await self.round():
                pass
        except (KafkaTrouble, StoreError) as trouble:
            self._note(trouble)

    async def close(self) -> None:
        """Let go of the connections; safe to call twice."""
        await self._producer.close()

    async def _write(self, kind: str, waiting: Sequence[Waiting]) -> None:
        topic = self._topics.get(kind)
        if topic is None:  # it was exported under an earlier configuration, and is wanted no more
            self._telemetry.exports.labels(kind, "dropped").inc(len(waiting))
            return
        records = [
            Record(
                key=each.export.key,
                value=json.dumps(each.export.value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"),
                headers=(("newsquake-type", kind),),
            )
            for each in waiting
        ]
        for record, refusal in zip(records, await self._producer.send(topic, records), strict=True):
            if refusal is not None:
                log.error("a record is not exported", kind=kind, key=record.key, error=str(refusal))
            self._telemetry.exports.labels(kind, "sent" if refusal is None else "rejected").inc()

    def _note(self, trouble: NewsquakeError) -> None:
        if str(trouble) != self._trouble:
            log.warning("nothing can be exported at present", error=str(trouble))
        self._trouble = str(trouble)
