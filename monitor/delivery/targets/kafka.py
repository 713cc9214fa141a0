"""A target that is a topic of Kafka: one record for each message, as docs/kafka.md says."""

from __future__ import annotations

import json

import structlog

from monitor.core.message import payload
from monitor.delivery.producer import Producer, Record
from monitor.kafka import KafkaTrouble
from monitor.ports import Delivery, Rejected, Retry, Sent
from monitor.types import Message, TargetId


class KafkaTarget:
    """Writes each message under its incident's id as the key, so that one incident's messages stay in order.

    The header `newsquake-key` is the message's stable key: whoever reads the topic tells a repeat by it.
    """

    def __init__(self, target: TargetId, topic: str, *, producer: Producer) -> None:
        """`producer` is this target's own, and closed with it."""
        self._id = target
        self._topic = topic
        self._producer = producer
        self._log = structlog.get_logger().bind(target=target, topic=topic)

    @property
    def id(self) -> TargetId:
        return self._id

    async def send(self, message: Message, attempt: int) -> Delivery:  # noqa: ARG002 - the reader honours keys
        """Write the message once."""
        written = payload(message)
        record = Record(
            key=message.incident.id,
            value=json.dumps(written, allow_nan=False, separators=(",", ":")).encode(),
            headers=(("newsquake-key", message.key), ("newsquake-type", f"incident.{message.change}")),
        )
        try:
            [refusal] = await self._producer.send(self._topic, [record])
        except KafkaTrouble as trouble:
            self._log.warning("a topic cannot be written", error=str(trouble))
            return Retry(trouble.outcome)
        return Sent() if refusal is None else Rejected(refusal.outcome)

    async def close(self) -> None:
        await self._producer.close()
