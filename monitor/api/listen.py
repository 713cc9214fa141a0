"""Where the API may listen, and a socket there, or a plain message why not."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from monitor.core.tokens import Standing, standing
from monitor.errors import ConfigurationError, NewsquakeError
from monitor.reading import Token

LISTENING = "0A"  # the state's number in /proc/net/tcp


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port; port 0 asks for any that is free."""

    ip: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


def address_of(bind: str) -> Address:
    """Read `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.

    Raises ConfigurationError for anything else.
    """
    expected = "expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080"
    host, separator, port = bind.strip().rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"api.bind: found {bind!r}; {expected}")
    try:
        ip = ip_address("127.0.0.1" if host.lower() == "localhost" else host.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise ConfigurationError(f"api.bind: found {bind!r}; {expected}") from error
    return Address(ip, int(port))


def require_token(address: Address, tokens: Iterable[Token], now: datetime) -> None:
    """Raise ConfigurationError where other machines can reach the address, and no token is good that they could use."""
    if address.ip.is_loopback or any(standing(token, now) is Standing.LIVE for token in tokens):
        return
    raise ConfigurationError(
        f"api.bind: found {str(address)!r}, which other machines can reach, and there is no token that is good; make "
        "one first (`newsquake token create --name NAME --scope read -c FILE`), or bind to 127.0.0.1"
    )


def listen(address: Address) -> socket.socket:
    """Return a socket that listens there. Raise NewsquakeError, naming the address and what holds it, if it cannot."""
    listener = socket.socket(socket.AF_INET6 if address.ip.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        listener.bind((str(address.ip), address.port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise NewsquakeError(f"api.bind: cannot listen on {address}: {_reason(error, address)}") from error
    return listener


def _reason(error: OSError, address: Address) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"the port is in use by {holder(address.port) or 'another program'}; stop it, or choose another port"
        case errno.EACCES:
            return "this user may not; ports below 1024 belong to the system, choose a higher one"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case _:
            return str(error.strerror or error)


def holder(port: int) -> str | None:
    """Return the process that listens on a port, as `python (pid 1234)`, where the system lets us see it (Linux)."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # another user's, or gone meanwhile
            continue
    return None


def _listening(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]
