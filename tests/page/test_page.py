"""The page in a real Chromium, in front of the real API on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.async_api import Browser

from monitor.api.services import Check
from monitor.core.incidents import acknowledge
from monitor.reading import KeyLevel
from monitor.types import Acknowledgement, EventId, IncidentState, Key, Severity, StoryId
from tests.api.conftest import ALL, LIVE, NOON, an_incident, hex_id
from tests.core.telling import EXPLAINED
from tests.page.browser import Visit, visiting
from tests.page.conftest import Served

CALM = KeyLevel(key=ALL, surging=False, blind=False, learning_since=None, windows=())

# How many of the chart's points bear each of these colours of the style sheet.
PAINTED = """names => {
  const canvas = document.querySelector("#chart canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const probe = document.createElement("canvas").getContext("2d");
  return names.map((name) => {
    probe.fillStyle = getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
    const [red, green, blue] = probe.fillStyle.match(/\\w\\w/g).map((part) => parseInt(part, 16));
    let found = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) found += 1;
    }
    return found;
  });
}"""


async def fill(desk: Served) -> None:
    for hours in range(1, 20):
        await desk.archive.rollup(timedelta(hours=hours), stories=2, negative=1, weight=0.8)
    await desk.archive.rollup(timedelta(minutes=30), stories=9, negative=8, weight=7.2)
    await desk.archive.article(1)
    await desk.archive.judgement(1)
    await desk.archive.incident(1)


async def test_the_page_shows_keys_chart_incidents_and_sources(desk: Served, browser: Browser) -> None:
    await fill(desk)
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        assert await visit.texts("#keys-list .row .name") == ["Acme Bank", "source wire", "all news"]
        assert await visit.texts("#keys-list .row .mark") == ["surging", "blind", "learning"]
        assert await visit.text("#subject-title") == "Acme Bank"
        assert await visit.texts("#counts li") == ["1 surging", "1 blind", "1 learning", "0 calm"]
        card = await visit.text(".incident")
        assert "High" in card
        assert "Acme Bank under investigation" in card
        assert "5.5 negative stories in 1 h, where 0.4 is normal; by chance once in 110 years. 3 publishers." in card
        assert await visit.texts("#headlines li bdi") == ["Acme headline 1", "news.example"]
        assert await visit.texts("#sources-table tbody th bdi") == ["push", "wire"]
        assert "00112233aabbccdd" in await visit.text("#instrument-list")
        bars, raised = await visit.page.evaluate(PAINTED, ["bad", "surge"])
        assert bars > 1000
        assert raised > 100  # the line where the incident was raised
        assert "at most 8 negative stories in 1 h" in str(await visit.page.get_attribute("#chart", "aria-label"))


async def test_an_incident_says_what_makes_it_in_both_languages(desk: Served, browser: Browser) -> None:
    await desk.archive.incident(1, explanation=EXPLAINED)
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        told = "Why: 62% volume · 27% one publisher: loud.example · 20% one event: Police raid Acme Bank · -9% mood"
        assert await visit.text(".incident .causes") == told
        await visit.page.click("#language")
        assert (await visit.text(".incident .causes")).startswith("成因： 报道量 62% · 同一媒体 27%： loud.example · ")


async def test_an_incident_appears_and_ends_without_a_reload(desk: Served, browser: Browser) -> None:
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        assert await visit.text("#incidents-list") == "No open incident."
        await desk.commit_incident(7)
        await visit.page.wait_for_selector(".incident.firing")
        assert await visit.text("#spoken") == "New incident, High: bad news is surging, Acme Bank"
        over = replace(an_incident(7), state=IncidentState.RESOLVED, resolved=NOON, revision=2)
        await desk.replace_incident(over)
        await visit.until("document.querySelectorAll('.incident').length === 0")
        assert await visit.text("#spoken") == "Incident over: Acme Bank"
        await visit.page.click("#incidents-filter button:nth-child(2)")
        assert "Over" in await visit.text(".incident.resolved")


async def test_the_desk_says_what_it_makes_of_an_incident(desk: Served, browser: Browser) -> None:
    await desk.archive.incident(1)
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        await visit.page.click(".incident .ack")
        await visit.page.wait_for_selector(".incident.acknowledged")
        assert "acknowledged by local" in await visit.text(".incident")
        await visit.page.click(".incident .more")
        await visit.page.click("text=Wrong company")
        await visit.page.wait_for_selector("text=Noted; the next model learns from it.")
        assert [(each.incident, each.ruling) for each in desk.judged] == [(hex_id(1), "wrong_company")]
        assert f"Incident {hex_id(1)}" in await visit.text(".detail")


async def test_it_speaks_chinese_and_english_and_remembers_which(desk: Served, browser: Browser) -> None:
    await fill(desk)
    async with desk.serving():
        async with visiting(browser, desk.url, language="zh-CN") as visit:
            await visit.settle()
            assert await visit.text("#subject-title") == "艾克米银行"
            assert await visit.texts("#keys-list .row .mark") == ["激增", "盲区", "学习中"]
            assert "1 小时内负面报道 5.5 篇，正常水平为 0.4 篇" in await visit.text(".incident")
            assert await visit.page.get_attribute("html", "lang") == "zh-Hans"
            assert "undefined" not in await visit.text("body")
        async with visiting(browser, desk.url) as visit:
            await visit.settle()
            assert await visit.text("#keys-title") == "Watched"
            await visit.page.click("#language")
            assert await visit.text("#keys-title") == "监测对象"
            await visit.page.reload()
            await visit.settle()
            assert await visit.text("#keys-title") == "监测对象"


async def test_a_stopped_daemon_ends_the_stream_and_the_page_says_so(desk: Served, browser: Browser) -> None:
    async with visiting_until_the_end(desk, browser) as visit:
        await desk.close()
        await visit.page.wait_for_selector(".banner.broken")
        assert "newsquake has been stopped" in await visit.text(".banner.broken")
        await is_old(visit)


async def test_a_lost_connection_is_never_taken_for_calm_and_is_taken_up_again(desk: Served, browser: Browser) -> None:
    async with visiting_until_the_end(desk, browser) as visit:
        (blind,) = await visit.texts(".banner")
        assert blind == "1 key is blind: its sources are silent, so nothing here says that it is calm."
        await desk.cut()
        await visit.page.wait_for_selector(".banner.broken")
        assert "No connection to newsquake. What you see is old" in await visit.text(".banner.broken")
        await is_old(visit)
        await desk.commit_incident(3)
        async with desk.serving():
            await visit.page.wait_for_selector(".incident.firing")
            await visit.until("!document.body.classList.contains('stale')")
            assert await visit.page.locator(".banner.broken").count() == 0


@asynccontextmanager
async def visiting_until_the_end(desk: Served, browser: Browser) -> AsyncIterator[Visit]:
    await desk.open()
    async with visiting(browser, desk.url) as visit:
        await visit.settle()
        yield visit


async def is_old(visit: Visit) -> None:
    assert await visit.page.evaluate("document.body.classList.contains('stale')")
    assert await visit.page.evaluate("getComputedStyle(document.querySelector('main')).opacity") == "0.5"
    assert (await visit.page.title()).startswith("⚠")


async def test_a_daemon_that_cannot_work_says_so_on_the_page(desk: Served, browser: Browser) -> None:
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        desk.checks = [Check(name="store", ok=False, detail="newsquake.db: the disk is full")]
        await visit.page.wait_for_selector(".banner.broken")
        assert "store: newsquake.db: the disk is full" in await visit.text(".banner.broken")
        desk.checks = []
        desk.live = replace(desk.live, ticked=NOON - timedelta(minutes=12))
        await visit.page.wait_for_selector("text=The detector has decided nothing for 12 min.")


async def test_a_token_is_asked_for_and_kept_for_the_tab(desk: Served, browser: Browser) -> None:
    await desk.archive.incident(1)
    bearer = desk.token("read")["authorization"].removeprefix("Bearer ")
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.page.fill("#login-token", "nqt_wrong")
        await visit.page.click("#login button")
        await visit.page.wait_for_selector("text=This token was not accepted.")
        await visit.page.fill("#login-token", bearer)
        await visit.page.press("#login-token", "Enter")
        await visit.page.wait_for_selector(".incident")
        await visit.page.click(".incident .ack")
        await visit.page.wait_for_selector("text=this needs a token with the scope write")
        await visit.page.reload()
        await visit.page.wait_for_selector(".incident")
        assert await visit.page.context.cookies() == []


async def test_thousands_of_keys_come_in_pages_and_are_found(desk: Served, browser: Browser) -> None:
    many = [replace(CALM, key=Key(f"entity:company-{number:04}")) for number in range(3000)]
    desk.live = replace(LIVE, keys=(*LIVE.keys, *many))
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        assert await visit.page.locator("#keys-list .row").count() == 50
        await visit.page.click("#keys-more")
        await visit.until("document.querySelectorAll('#keys-list .row').length === 100")
        await visit.page.fill("#keys-query", "company-2999")
        await visit.until("document.querySelectorAll('#keys-list .row').length === 1")
        await visit.page.select_option("#keys-state", "surge")
        await visit.page.wait_for_selector("text=Nothing is watched that fits.")
        await visit.page.fill("#keys-query", "")
        await visit.until("document.querySelectorAll('#keys-list .row').length === 1")
        assert await visit.texts("#keys-list .row .name") == ["Acme Bank"]


async def test_it_can_be_used_from_the_keyboard(desk: Served, browser: Browser) -> None:
    await fill(desk)
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        await visit.page.keyboard.press("Tab")
        assert await visit.page.evaluate("document.activeElement.className") == "skip"
        await visit.page.focus("[data-key=all]")
        await visit.page.keyboard.press("Enter")
        await visit.until("document.getElementById('subject-title').textContent === 'all news'")
        assert await visit.page.evaluate("document.activeElement.dataset.key") == "all"  # the focus stays
        nameless = """[...document.querySelectorAll("button, a, input, select, [role=img], [role=group]")]
            .filter((each) => !each.hidden && !each.closest("dialog:not([open])"))
            .filter((each) => !(each.innerText || each.getAttribute("aria-label") || each.labels?.length))
            .map((each) => each.outerHTML)"""
        assert await visit.page.evaluate(nameless) == []


async def test_headlines_about_one_happening_stand_together_under_the_first(desk: Served, browser: Browser) -> None:
    (one,) = an_incident(1).evidence
    first = replace(one, title="Probe begins", event=EventId(one.story))
    other = replace(one, story=StoryId("b" * 32), title="Storm damage", event=EventId("b" * 32))
    again = replace(first, story=StoryId("c" * 32), title="Inquiry opened")
    counted = replace(EXPLAINED, stories=3, events=2)
    await desk.archive.incident(1, evidence=(first, other, again), explanation=counted)
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        assert "3 stories, 2 events" in await visit.text(".incident .causes")
        assert await visit.page.locator(".incident .evidence > li").count() == 2
        together = visit.page.locator(".incident .evidence > li").first
        assert "Probe begins" in await together.inner_text()
        assert await together.locator(".same-event li").count() == 1
        assert "Inquiry opened" in await together.locator(".same-event").inner_text()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (820, 1180), (1440, 900)])
async def test_nothing_is_wider_than_the_window(desk: Served, browser: Browser, width: int, height: int) -> None:
    await fill(desk)
    wide = replace(an_incident(2).evidence[0], title="W" * 500, publisher="x" * 300)
    await desk.archive.incident(2, evidence=(wide,), severity=Severity.CRITICAL)
    async with desk.serving(), visiting(browser, desk.url, size=(width, height)) as visit:
        await visit.settle()
        beyond = """width => [...document.querySelectorAll("body *")]
            .filter((each) => !each.closest(".scroll, .skip, .unseen"))
            .filter((each) => each.getBoundingClientRect().right > width + 0.5)
            .map((each) => each.outerHTML.slice(0, 100))"""
        assert await visit.page.evaluate(beyond, width) == []
        assert await visit.page.evaluate("document.documentElement.scrollWidth") <= width


async def test_without_a_baseline_it_says_that_no_normal_is_known(desk: Served, browser: Browser) -> None:
    desk.live = replace(LIVE, keys=(CALM,))
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        assert "no normal is known" in await visit.text("#chart-legend")


async def test_what_was_acknowledged_elsewhere_is_shown(desk: Served, browser: Browser) -> None:
    noted = acknowledge(an_incident(1), Acknowledgement(at=NOON, by="night desk", note=None))
    await desk.archive.incident(1, state=noted.state, acknowledged=noted.acknowledged)
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        assert "acknowledged by night desk" in await visit.text(".incident.acknowledged")
        assert await visit.page.locator(".incident .ack").count() == 0
