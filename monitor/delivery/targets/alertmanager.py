"""A target that is a Prometheus Alertmanager, or a cluster of them: it is shown alerts, over its API v2.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml; what is shown is told in core/alerts.py, and
that it is shown again and again in delivery/reconciler.py.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import structlog

from monitor.core.alerts import OWN_LABELS, alerts_of
from monitor.core.wording import plain
from monitor.delivery.targets.answers import Poster, judge
from monitor.errors import ConfigurationError
from monitor.net import NetError
from monitor.ports import Case, Delivery, Rejected, Retry, Sent
from monitor.types import Json, TargetId

AT_ONCE = 50  # incidents in one request; each may bring four alerts of 15,000 characters


class AlertmanagerTarget:
    """Posts how incidents stand to every member of the cluster, for its members do not hand alerts on to each other.

    urls           where the members are reached, without `/api/v2`
    labels         further labels of every alert
    address        under which people reach newsquake; None gives the alerts no links
    authorization  the header of this name, see `bearer` and `basic`; it appears in nothing that this object says
    client         shared with others and closed by its owner
    """

    def __init__(
        self,
        target: TargetId,
        urls: Sequence[str],
        *,
        labels: Mapping[str, str],
        address: str | None,
        authorization: str | None,
        client: Poster,
    ) -> None:
        """Raise ConfigurationError where a further label is one of newsquake's own."""
        if taken := sorted(OWN_LABELS & labels.keys()):
            raise ConfigurationError(f"target {target}: labels.{taken[0]}: newsquake sets this label itself")
        self._id = target
        self._urls = tuple(f"{url.rstrip('/')}/api/v2/alerts" for url in urls)
        self._labels = dict(labels)
        self._address = address
        self._headers = {"content-type": "application/json"}
        if authorization is not None:
            self._headers["authorization"] = authorization
        self._client = client
        self._log = structlog.get_logger().bind(target=target)

    @property
    def id(self) -> TargetId:
        return self._id

    async def show(self, cases: Sequence[Case], now: datetime) -> Delivery:
        """Post how these incidents stand. It is Sent where one member took all: the others are shown it again soon."""
        bodies = list(self._bodies(cases, now))
        answers = await asyncio.gather(*(self._post_all(url, bodies, now) for url in self._urls))
        return next((each for each in answers if isinstance(each, Sent)), answers[0])

    async def close(self) -> None:
        """Nothing is held: the client belongs to whoever made it."""

    def _bodies(self, cases: Sequence[Case], now: datetime) -> Iterator[bytes]:
        """Yield the requests' bodies; the alerts of one incident stand together, the one that ends before the next."""
        for start in range(0, len(cases), AT_ONCE):
            alerts: list[Json] = []
            for case in cases[start : start + AT_ONCE]:
                alerts += alerts_of(case, now, labels=self._labels, address=self._address)
            if alerts:
                yield json.dumps(alerts, allow_nan=False, separators=(",", ":")).encode()

    async def _post_all(self, url: str, bodies: Sequence[bytes], now: datetime) -> Delivery:
        for body in bodies:
            delivery = await self._post(url, body, now)
            if not isinstance(delivery, Sent):
                return delivery
        return Sent()

    async def _post(self, url: str, body: bytes, now: datetime) -> Delivery:
        try:
            answer = await self._client.post(url, body, self._headers)
        except NetError as error:
            return Retry(error.reason.value)
        delivery = judge(answer, now)
        if not isinstance(delivery, Rejected):
            return delivery
        self._log.warning("refused", status=answer.status, detail=plain(answer.body.decode(errors="replace"), 300))
        # Only 400 is about the alerts themselves; a wrong address or password is mended, and then they are wanted.
        return delivery if answer.status == 400 else Retry(delivery.reason)


def bearer(token: str) -> str:
    """Return the header `Authorization` for a token."""
    return f"Bearer {token}"


def basic(username: str, password: str) -> str:
    """Return the header `Authorization` for a name and a password."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
