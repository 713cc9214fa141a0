"""A receiver of webhooks on loopback that misbehaves as told."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET, socket
from typing import TypeAlias

RESET = "reset"  # take the request and cut the connection
SILENT = "silent"  # take the request and never answer
Behaviour: TypeAlias = int | tuple[int, Mapping[str, str]] | str


@dataclass(frozen=True)
class Request:
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers each request with the next behaviour of its script, and with 204 after the last."""

    script: Sequence[Behaviour]
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        behaviour = self.script[len(self.requests)] if len(self.requests) < len(self.script) else 204
        self.requests.append(Request(headers, body))
        if behaviour == SILENT:
            await reader.read()  # until the client gives up
        elif behaviour == RESET:
            raw = writer.get_extra_info("socket")
            _linger_none(raw)
        else:
            status, more = behaviour if isinstance(behaviour, tuple) else (behaviour, {})
            lines = [f"HTTP/1.1 {status} Whatever", "content-length: 0", "connection: close"]
            lines += [f"{name}: {value}" for name, value in more.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            await writer.drain()


def _linger_none(raw: socket) -> None:
    raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # closing sends RST


@asynccontextmanager
async def receiving(*script: Behaviour) -> AsyncIterator[Receiver]:
    receiver = Receiver(script)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?key=url-secret"
    async with server:
        yield receiver
