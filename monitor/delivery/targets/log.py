"""A target that is the daemon's own log: always there, and the first thing to try."""

from __future__ import annotations

import structlog

from monitor.core.message import render
from monitor.ports import Delivery, Sent
from monitor.types import Change, Language, Message, TargetId


class LogTarget:
    """Writes each message to the log, in words. It honours no keys: a repeat says that it may be one."""

    def __init__(self, target: TargetId, *, language: Language | None = None) -> None:
        """`language` is `en` or `zh`; None takes that of the leading headline."""
        self._id = target
        self._language = language
        self._log = structlog.get_logger().bind(target=target)

    @property
    def id(self) -> TargetId:
        return self._id

    async def send(self, message: Message, attempt: int) -> Delivery:
        """Write the message. It is always accepted."""
        text = render(message, language=self._language, repeat=attempt > 1)
        write = self._log.info if message.change is Change.RESOLVED else self._log.warning
        write(text, message=message.key, change=message.change.value, severity=message.incident.severity.value)
        return Sent()

    async def close(self) -> None:
        """Nothing is held."""
