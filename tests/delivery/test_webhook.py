from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from monitor.clock import DrivenClock
from monitor.core.message import payload
from monitor.delivery.targets.webhook import WebhookTarget
from monitor.errors import ConfigurationError
from monitor.net import HttpClient
from monitor.ports import Delivery, Rejected, Retry, Sent
from monitor.types import Change, Message, TargetId
from tests.core.telling import T0, headline, incident
from tests.delivery.receiver import RESET, SILENT, Behaviour, Receiver, receiving

KEY = b"twenty-four bytes of key"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
DESK = TargetId("desk")
NOW = datetime(2026, 3, 2, 10, 1, 30, 500_000, tzinfo=UTC)


def message() -> Message:
    one = incident("entity:acme", evidence=(headline("one", title="艾克米银行遭调查 \u202e"),))
    return Message(
        key=f"{one.id}.opened",
        target=DESK,
        change=Change.OPENED,
        incident=one,
        created=T0,
        expires=T0 + timedelta(days=1),
    )


@asynccontextmanager
async def targeting(
    url: str, secret: str | None = SECRET, *, timeout: float = 30.0, allowed: tuple[str, ...] = ("127.0.0.1",)
) -> AsyncIterator[WebhookTarget]:
    client = HttpClient(allow_private=allowed, timeout=timeout)
    target = WebhookTarget(DESK, url, secret=secret, client=client, clock=DrivenClock(NOW))
    yield target
    await target.close()
    await client.close()


async def answer_to(*script: Behaviour, timeout: float = 30.0) -> tuple[Delivery, Receiver]:
    async with receiving(*script) as receiver, targeting(receiver.url, timeout=timeout) as target:
        return await target.send(message(), 1), receiver


async def test_a_receiver_can_verify_who_sent_the_message() -> None:
    delivery, receiver = await answer_to(200)
    assert delivery == Sent()
    [request] = receiver.requests
    assert request.headers["webhook-id"] == message().key
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert request.headers["content-type"] == "application/json"
    signed = f"{message().key}.{int(NOW.timestamp())}.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(request.body) == payload(message())


async def test_a_secret_that_is_not_base64_signs_as_it_stands() -> None:
    async with receiving() as receiver, targeting(receiver.url, "open sesame") as target:
        await target.send(message(), 1)
    [request] = receiver.requests
    signed = f"{message().key}.{int(NOW.timestamp())}.".encode() + request.body
    expected = base64.b64encode(hmac.new(b"open sesame", signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


async def test_without_a_secret_nothing_is_signed() -> None:
    async with receiving() as receiver, targeting(receiver.url, None) as target:
        assert await target.send(message(), 1) == Sent()
    assert "webhook-signature" not in receiver.requests[0].headers


async def test_a_message_sent_again_bears_the_same_id_and_body() -> None:
    async with receiving(500, 200) as receiver, targeting(receiver.url) as target:
        assert await target.send(message(), 1) == Retry("server_error")
        assert await target.send(message(), 2) == Sent()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


@pytest.mark.parametrize(
    ("behaviour", "delivery"),
    [
        (200, Sent()),
        (202, Sent()),
        (204, Sent()),
        (410, Rejected("gone")),
        (400, Rejected("refused")),
        (401, Rejected("refused")),
        (404, Rejected("refused")),
        ((302, {"location": "http://127.0.0.1:1/elsewhere"}), Retry("redirected")),
        (408, Retry("busy")),
        (425, Retry("busy")),
        (429, Retry("busy")),
        ((429, {"retry-after": "120"}), Retry("busy", timedelta(seconds=120))),
        ((503, {"retry-after": format_datetime(NOW + timedelta(hours=1), usegmt=True)}), None),
        ((503, {"retry-after": "Mon, 02 Mar 2026 09:00:00 GMT"}), Retry("server_error", timedelta(0))),
        ((503, {"retry-after": "9" * 400}), Retry("server_error", timedelta(days=1))),
        ((503, {"retry-after": "soon"}), Retry("server_error")),
        (500, Retry("server_error")),
        (RESET, Retry("unreachable")),
    ],
)
async def test_what_the_receiver_answers_decides(behaviour: Behaviour, delivery: Delivery | None) -> None:
    answer, receiver = await answer_to(behaviour)
    if delivery is None:  # a date has whole seconds only
        delivery = Retry("server_error", timedelta(hours=1) - timedelta(microseconds=500_000))
    assert answer == delivery
    assert len(receiver.requests) == 1


async def test_a_receiver_that_never_answers_is_tried_again() -> None:
    answer, receiver = await answer_to(SILENT, timeout=0.2)
    assert answer == Retry("timeout")
    assert len(receiver.requests) == 1


async def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        async with targeting(f"http://127.0.0.1:{taken.getsockname()[1]}/") as target:
            assert await target.send(message(), 1) == Retry("unreachable")


async def test_the_houses_own_network_is_not_called_unless_allowed() -> None:
    async with receiving() as receiver, targeting(receiver.url, allowed=()) as target:
        assert await target.send(message(), 1) == Retry("forbidden_address")
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("secret", "found"), [("whsec_not base64!", "does not go on as base64"), ("", "empty"), ("whsec_", "empty")]
)
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found) as caught:
        WebhookTarget(DESK, "http://127.0.0.1/", secret=secret, client=HttpClient(), clock=DrivenClock(NOW))
    assert "not base64!" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_neither_secret_nor_address_is_in_what_the_target_says_of_itself() -> None:
    async with targeting("http://127.0.0.1/hook?key=url-secret") as target:
        assert "url-secret" not in repr(target)
        assert SECRET not in repr(target)
        assert repr(KEY) not in repr(target)
