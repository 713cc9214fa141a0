"""The page's files: a few, read once, served from memory, under a policy that lets nothing else run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from monitor.api.problems import Problem

MEDIA = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
# Scripts, styles and data come from this daemon alone; nothing inline runs, no text becomes HTML (Trusted Types), no
# other page frames this one, no form sends anything anywhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "cache-control": "no-cache",  # asked for each time, and answered 304 where nothing has changed
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent."""

    body: bytes
    media: str
    tag: str


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            yield from _walk(entry, f"{name}/")
        else:
            yield name, entry


def read_page() -> Mapping[str, File]:
    """Return the files of the page by their names; licences and notes beside them are not served."""
    page: dict[str, File] = {}
    for name, entry in _walk(files("monitor") / "api" / "page"):
        media = MEDIA.get(name.rpartition(".")[2])
        if media is not None:
            body = entry.read_bytes()
            page[name] = File(body, media, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    return page


page = APIRouter(include_in_schema=False)


@page.head("/")
@page.get("/")
async def index(request: Request) -> Response:
    """Return the page."""
    return _answer(request, "index.html")


@page.head("/page/{name:path}")
@page.get("/page/{name:path}")
async def file(request: Request, name: str) -> Response:
    """Return one of its files."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    found = request.app.state.page.get(name)
    if found is None:
        raise Problem(404, f"the page has no file {name[:80]!r}")
    headers = HEADERS | {"etag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media, headers=headers)
