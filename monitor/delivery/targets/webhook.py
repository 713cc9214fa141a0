"""A target that is somebody's HTTP endpoint, called as the Standard Webhooks specification says (v1, symmetric).

https://github.com/standard-webhooks/standard-webhooks; what we send is told in docs/webhook.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import datetime

from monitor.core.message import payload
from monitor.delivery.targets.answers import Poster, judge
from monitor.errors import ConfigurationError
from monitor.net import NetError
from monitor.ports import Clock, Delivery, Retry
from monitor.types import Message, TargetId

SECRET_PREFIX = "whsec_"  # noqa: S105 - what marks a secret, not one


class WebhookTarget:
    """Posts each message as signed JSON. The receiver tells repeats by `webhook-id`, which is the message's key.

    secret  `whsec_` and base64, or any other text as it is; None sends unsigned
    client  shared with others and closed by its owner

    Neither the URL nor the secret appears in what this object says of itself: both may open doors.
    """

    def __init__(self, target: TargetId, url: str, *, secret: str | None, client: Poster, clock: Clock) -> None:
        """Raise ConfigurationError where the secret is empty, or begins with `whsec_` and goes on as no base64."""
        self._id = target
        self._url = url
        self._secret = None if secret is None else _secret(secret, target)
        self._client = client
        self._clock = clock

    @property
    def id(self) -> TargetId:
        return self._id

    async def send(self, message: Message, attempt: int) -> Delivery:  # noqa: ARG002 - the receiver honours keys
        """Post the message once."""
        body = json.dumps(payload(message), allow_nan=False, separators=(",", ":")).encode()
        now = self._clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": message.key,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._secret is not None:
            headers["webhook-signature"] = sign(self._secret, message.key, now, body)
        try:
            answer = await self._client.post(self._url, body, headers)
        except NetError as error:
            return Retry(error.reason.value)
        return judge(answer, now)

    async def close(self) -> None:
        """Nothing is held: the client belongs to whoever made it."""


def sign(secret: bytes, message_id: str, at: datetime, body: bytes) -> str:
    """Return the header `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{message_id}.{int(at.timestamp())}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def _secret(secret: str, target: TargetId) -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ConfigurationError(
                f"target {target}: the secret begins with {SECRET_PREFIX} but does not go on as base64"
            ) from None
    if not key:
        raise ConfigurationError(f"target {target}: the secret is empty; leave it out to send unsigned")
    return key
