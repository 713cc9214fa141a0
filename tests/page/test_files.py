"""The page's files: served whole and under a strict policy, in two languages that say the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from monitor.api.files import POLICY, read_page
from tests.api.conftest import Desk, desk

__all__ = ["desk"]  # a fixture

PAGE = Path(__file__).parents[2] / "monitor" / "api" / "page"
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in PAGE.glob("*.js")}
MARKUP = (PAGE / "index.html").read_text(encoding="utf-8")
STYLE = (PAGE / "style.css").read_text(encoding="utf-8")
Texts: TypeAlias = Mapping[str, str | Mapping[str, str]]


def texts(language: str) -> Texts:
    loaded: Texts = json.loads((PAGE / "texts" / f"{language}.json").read_text(encoding="utf-8"))
    return loaded


def fields(text: str | Mapping[str, str]) -> set[str]:
    forms = [text] if isinstance(text, str) else list(text.values())
    return {field for form in forms for field in re.findall(r"\{(\w+)\}", form)} - {"n", "shown"}


def test_both_languages_say_the_same_things() -> None:
    english, chinese = texts("en"), texts("zh")
    assert set(english) == set(chinese)
    for name, text in english.items():
        assert fields(text) == fields(chinese[name]), name
        for form in [text] if isinstance(text, str) else text.values():
            assert form.strip() == form != ""


def test_what_has_forms_for_one_and_several_has_the_form_that_is_always_there() -> None:
    for language in ("en", "zh"):
        for name, text in texts(language).items():
            assert isinstance(text, str) or "other" in text, name


def test_every_text_that_the_page_asks_for_is_there_and_every_text_there_is_asked_for() -> None:
    code = "\n".join(SCRIPTS.values())
    asked = set(re.findall(r"""say\((?:[^"'`()]*\? )?"([^"]+)"|data-(?:text|label)="([^"]+)\"""", code + MARKUP))
    named = {name for pair in asked for name in pair if name}
    known = set(texts("en"))
    assert named <= known, named - known
    quoted = set(re.findall(r'"([^"\n]+)"', code)) | named
    patterned = tuple(re.findall(r"`([a-z -]+ )\$\{", code))
    families = ("state ", "kind ", "topic ", "source kind ", "check ")
    assert [name for name in known if name not in quoted and not name.startswith((*patterned, *families))] == []


async def test_the_page_is_served_under_its_policy(desk: Desk) -> None:
    answer = await desk.client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "require-trusted-types-for 'script'" in POLICY
    again = await desk.client.get("/", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await desk.client.head("/")).headers["content-length"] == answer.headers["content-length"]


async def test_every_file_that_the_page_names_is_served_with_its_kind(desk: Desk) -> None:
    named = set(re.findall(r'(?:src|href)="(/page/[^"]+)"', MARKUP))
    for name, script in SCRIPTS.items():
        named |= {f"/page/{path}" for path in re.findall(r'from "\./([^"]+)"', script)}
        assert not re.search(r"https?://", script), name
    named |= {"/page/texts/en.json", "/page/texts/zh.json"}
    assert named == {f"/page/{name}" for name in read_page()} - {"/page/index.html"}
    kinds = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "json": "application/json"}
    for path in named:
        answer = await desk.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == kinds.get(path.rpartition(".")[2], "image/svg+xml")


@pytest.mark.parametrize(
    "name", ["../files.py", "..%2Ffiles.py", "vendor/uplot/LICENSE", "app.py", "", "a\x00b", "x" * 3000]
)
async def test_nothing_else_is_served(desk: Desk, name: str) -> None:
    answer = await desk.client.get(f"/page/{name}".replace("\x00", "%00"))
    assert answer.status_code == 404


async def test_the_page_itself_needs_no_token(desk: Desk) -> None:
    desk.token("read")
    assert (await desk.client.get("/")).status_code == 200
    assert (await desk.client.get("/page/app.js")).status_code == 200
    assert (await desk.client.get("/api/v1/keys")).status_code == 401


def test_nothing_on_the_page_parses_html_or_runs_text() -> None:
    for name, script in SCRIPTS.items():
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function|\.cssText|srcdoc",
            script,
        )
        assert found is None, name
    assert not re.search(r"<style|<script(?! type=\"module\" src=)|\son\w+=|\sstyle=", MARKUP)


def test_the_vendored_files_are_those_of_the_package() -> None:
    noted = dict(
        re.findall(r"^\| (\S+) \| `([0-9a-f]{64})` \|$", (PAGE / "vendor/uplot/README.md").read_text(), re.MULTILINE)
    )
    assert set(noted) == {"uPlot.esm.js", "uPlot.min.css"}
    for name, digest in noted.items():
        assert hashlib.sha256((PAGE / "vendor" / "uplot" / name).read_bytes()).hexdigest() == digest
    assert "The MIT License" in (PAGE / "vendor/uplot/LICENSE").read_text()


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_colour_of_text_is_legible_on_every_ground(scheme: str) -> None:
    """WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1."""
    dark, light = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark if scheme == "dark" else light))
    for ground in ("paper", "sheet", "raised"):
        for ink in ("ink", "muted", "accent", "good", "surge", "blind", "learning", "warm"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for banner in re.findall(r"\.banner\.\w+ \{ background: (#\w{6}); color: (#\w{6}); \}", STYLE):
        assert contrast(*banner) >= 4.5
