from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json

from monitor.api import bodies, models
from monitor.errors import Busy, SourceError, StoreError
from monitor.types import SourceId
from tests.api.conftest import MAX_BODY, MODEL, Desk, hex_id

PUSH = "/api/v1/articles"


async def push(desk: Desk, *articles: object, **query: str) -> httpx2.Response:
    return await desk.client.post(PUSH, json={"articles": list(articles)}, params=query)


async def test_articles_are_answered_one_by_one_in_order(desk: Desk) -> None:
    answer = await push(desk, {"title": "A"}, {"title": ""}, {"title": "B", "id": 7, "own": "field"})
    assert answer.status_code == 200
    assert answer.json() == {
        "results": [
            {"article_id": hex_id(3), "outcome": "stored"},
            {"article_id": None, "outcome": "dead", "error": "there is no text"},
            {"article_id": hex_id(3), "outcome": "stored"},
        ]
    }
    assert desk.pushed[2] == {"title": "B", "id": 7, "own": "field"}


async def test_no_answer_comes_before_the_commit(desk: Desk) -> None:
    desk.hold = asyncio.Event()
    waiting = asyncio.create_task(push(desk, {"title": "A"}))
    for _ in range(3):
        await desk.get("/healthz")  # answered, while the push is not
    assert not waiting.done()
    desk.hold.set()
    assert (await waiting).status_code == 200


async def test_a_full_queue_asks_for_patience(desk: Desk) -> None:
    desk.refuse = Busy(1.2)
    answer = await push(desk, {"title": "A"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


@pytest.mark.parametrize("error", [SourceError("newsquake is shutting down"), StoreError("the disk is full")])
async def test_what_keeps_a_push_from_being_stored_is_said(desk: Desk, error: Exception) -> None:
    desk.refuse = error
    answer = await push(desk, {"title": "A"})
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == str(error)


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        (b"", "body", "not valid JSON"),
        (b"{", "body", "not valid JSON"),
        (b"\xff\xfe", "body", "not valid JSON"),
        (b'{"articles": [NaN]}', "body", "not valid JSON"),
        (b"[]", "body", "found an array"),
        (b'"x"', "body", 'found "x"'),
        (b"{}", "articles", "missing"),
        (b'{"articles": "none"}', "articles", 'found "none"'),
        (b'{"articles": null}', "articles", "found null"),
        (b'{"articles": {}}', "articles", "found an object"),
        (b'{"articles": [' + b"1," * 1000 + b"1]}", "articles", "at most 1000 items"),
        (b"[" * 90_000, "body", "recursion limit"),
        (b'{"a":' * 15_000, "body", "recursion limit"),
    ],
)
async def test_a_body_that_is_no_push_is_refused_with_its_place(desk: Desk, body: bytes, where: str, said: str) -> None:
    answer = await desk.client.post(PUSH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["where"] == where
    assert said in error["message"]
    assert len(error["message"]) < 300
    assert desk.pushed == []


async def test_an_article_of_a_wrong_kind_is_a_result_and_holds_up_no_other(desk: Desk) -> None:
    answer = await push(desk, {"title": "A"}, 7, None, ["x"], {"title": "B"})
    assert [each["outcome"] for each in answer.json()["results"]] == ["stored", "dead", "dead", "dead", "stored"]


async def test_a_body_over_the_limit_is_refused(desk: Desk) -> None:
    fits = json.dumps({"articles": [{"title": "A"}]}).encode().ljust(MAX_BODY)
    headers = {"content-type": "application/json"}
    assert (await desk.client.post(PUSH, content=fits, headers=headers)).status_code == 200
    answer = await desk.client.post(PUSH, content=fits + b" ", headers=headers)
    assert answer.status_code == 413
    assert str(MAX_BODY) in answer.json()["error"]["message"]


async def test_the_limit_holds_where_no_length_is_told(desk: Desk) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MAX_BODY:
            sent += 10_000
            yield b" " * 10_000

    try:
        answer = await desk.client.post(PUSH, content=endless(), headers={"content-type": "application/json"})
    except httpx2.WriteError:  # refused while we were still sending
        return
    assert answer.status_code == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "text/json"])
async def test_only_json_is_taken_so_that_no_form_of_another_site_fits(desk: Desk, kind: str) -> None:
    answer = await desk.client.post(PUSH, content=b'{"articles": []}', headers={"content-type": kind})
    assert answer.status_code == 415


async def test_a_charset_beside_the_kind_is_fine(desk: Desk) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await desk.client.post(PUSH, content=b'{"articles": []}', headers=headers)).json() == {"results": []}


async def test_a_compressed_body_is_refused_plainly(desk: Desk) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await desk.client.post(PUSH, content=b"\x1f\x8b", headers=headers)).status_code == 415


async def test_who_never_ends_a_body_is_let_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    assert desk.server is not None
    reader, writer = await asyncio.open_connection(str(desk.server.address.ip), desk.server.address.port)
    writer.write(
        b"POST /api/v1/articles HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 100\r\n\r\n{"
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    writer.close()
    await writer.wait_closed()


async def test_several_push_doors_are_told_apart_by_name(desk: Desk) -> None:
    desk.doors[SourceId("second")] = desk.submit
    assert (await push(desk, {"title": "A"}, source="second")).status_code == 200
    missing = await push(desk, {"title": "A"})
    assert (missing.status_code, missing.json()["error"]["where"]) == (422, "source")
    assert "push, second" in missing.json()["error"]["message"]
    assert (await push(desk, {"title": "A"}, source="third")).status_code == 404
    desk.doors.clear()
    assert (await push(desk, {"title": "A"})).status_code == 404


async def score(desk: Desk, **body: Any) -> httpx2.Response:
    return await desk.client.post("/api/v1/score", json=body)


async def test_a_text_is_judged(desk: Desk) -> None:
    answer = (await score(desk, text="Acme Bank under investigation", entity="Acme")).json()
    assert (answer["label"], answer["model"]) == ("negative", MODEL)
    assert answer["entities"][0]["name"] == "Acme Bank"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("body", "where"),
    [({}, "text"), ({"text": " \n"}, "text"), ({"text": 1}, "text"), ({"text": "x", "entity": 1}, "entity")],
)
async def test_a_text_that_is_none_is_refused(desk: Desk, body: dict[str, Any], where: str) -> None:
    answer = await score(desk, **body)
    assert (answer.status_code, answer.json()["error"]["where"]) == (422, where)


async def test_a_company_that_is_not_in_the_text_is_named(desk: Desk) -> None:
    answer = await score(desk, text="Acme", entity="Nobody")
    assert answer.status_code == 422
    assert "Nobody" in answer.json()["error"]["message"]


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_json_an_article_is_it_reaches_the_door_as_it_is(value: Any) -> None:
    body = json.dumps({"articles": [value]}).encode("utf-8", "surrogatepass")
    try:
        parsed = from_json(body, allow_inf_nan=False)
        assert models.PushBody.model_validate(parsed).articles == [value]
    except (ValueError, ValidationError):
        assert "\\ud" in json.dumps(value)  # half a character is no JSON text
