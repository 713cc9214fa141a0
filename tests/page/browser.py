"""A real Chromium, and what it must never say while it shows the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request, async_playwright

from tests.alerting import required

Scheme: TypeAlias = Literal["dark", "light"]

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
WAIT = 30_000  # milliseconds; generous, for a busy machine: nothing is asserted about speed here
UNANSWERED = "Failed to load resource"  # what Chromium itself logs of an error answer, or of none

# What the browser blocks under the policy is kept where a test finds it.
WITNESS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@dataclass
class Visit:
    """One look at the page, and everything that went wrong meanwhile."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.set_default_timeout(WAIT)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)
        self.page.on("dialog", self._interrupted)
        self.page.on("popup", lambda page: self.wrong.append(f"popup: {page.url}"))

    async def check(self) -> None:
        """Raise where a script failed, something was asked of another address, or the policy had to step in."""
        assert self.wrong == []
        assert await self.page.evaluate("window.violations") == []

    async def text(self, selector: str) -> str:
        return (await self.page.inner_text(selector)).strip()

    async def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in await self.page.locator(selector).all_inner_texts()]

    async def until(self, condition: str) -> None:
        """Wait until a JavaScript expression holds: given as a function, for the policy lets no text be run."""
        await self.page.wait_for_function(f"() => ({condition})")

    async def settle(self) -> None:
        """Wait until the page has loaded everything and drawn the chart."""
        await self.page.wait_for_selector("#chart canvas")
        await self.page.wait_for_selector("#sources-table tbody tr")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(UNANSWERED):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(f"{self.origin}/"):
            self.wrong.append(f"request: {request.url}")

    def _interrupted(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        asyncio.ensure_future(dialog.dismiss())  # noqa: RUF006 - the browser waits for it, and so does the test


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start Chromium; skip where there is none."""
    program = required("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visiting(
    browser: Browser,
    address: str,
    *,
    language: str = "en-GB",
    scheme: Scheme = "dark",
    size: tuple[int, int] = (1440, 900),
) -> AsyncIterator[Visit]:
    """Open the page; when all has been looked at, nothing may have gone wrong."""
    context = await browser.new_context(
        locale=language,
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    await context.add_init_script(WITNESS)
    visit = Visit(await context.new_page(), address)
    visit.watch()
    await visit.page.goto(f"{address}/")
    try:
        yield visit
        await visit.check()
    finally:
        await context.close()
