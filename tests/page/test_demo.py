"""The demo as people start it: a browser is opened on the page, which shows it live to the end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.page.browser import visiting

pytestmark = [pytest.mark.process, pytest.mark.model]


async def test_the_demo_opens_its_page_and_the_page_sees_it_through(browser: Browser, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    opener = tmp_path / "browser"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    opener.chmod(0o755)
    demo = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("newsquake"),
        "demo",
        stdout=PIPE,
        env={**os.environ, "DISPLAY": ":99", "BROWSER": f"{opener} %s"},
    )
    assert demo.stdout is not None
    try:
        async with asyncio.timeout(120):
            said = (await demo.stdout.readuntil(b"/ (")).decode()
        address = re.findall(r"http://[\d.:]+", said)[0]
        async with visiting(browser, address) as visit:
            await visit.page.wait_for_selector(".incident.surge", state="attached", timeout=120_000)
            assert opened.read_text() == f"{address}/"
            assert await visit.text("#pulse") == "Live · watching"
            assert int((await visit.texts("#sources-table td.number"))[0].replace(",", "")) > 0
            demo.send_signal(signal.SIGTERM)
            await visit.page.wait_for_selector("text=newsquake has been stopped", timeout=60_000)
            async with asyncio.timeout(60):
                assert await demo.wait() == 0
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.wait()
