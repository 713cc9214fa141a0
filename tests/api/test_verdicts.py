"""What the desk says of an incident, over the API."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.api.services import Conflict, Missing, Unusable
from monitor.errors import StoreError
from monitor.store import schema
from monitor.types import EntityId, IncidentId, Ruling, Verdict
from tests.api.conftest import NOON, Desk, hex_id

ACK, VERDICT = "/api/v1/incidents/42/ack", "/api/v1/incidents/42/verdict"


async def test_somebody_looks_into_an_incident(desk: Desk) -> None:
    answer = await desk.client.post(ACK, json={"by": " Li Wei ", "note": "calling\nthe bank"})
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["id"], shown["state"]) == ("42", "acknowledged")
    assert shown["acknowledged"] == {"at": "2026-03-02T12:00:00Z", "by": "Li Wei", "note": "calling\nthe bank"}
    nobody = (await desk.client.post(ACK, json={})).json()
    assert nobody["acknowledged"] == {"at": "2026-03-02T12:00:00Z", "by": "local", "note": None}


async def test_a_verdict_is_handed_on_as_it_was_given(desk: Desk) -> None:
    said = {"verdict": "wrong_company", "article": hex_id(7), "entity": "acme", "sentiment": "neutral", "note": "嗯"}
    answer = await desk.client.post(VERDICT, json={**said, "by": "Ann"})
    assert answer.json() == {**said, "by": "Ann", "at": "2026-03-02T12:00:00Z"}
    assert desk.judged == [
        Verdict(
            incident=IncidentId("42"),
            ruling=Ruling.WRONG_COMPANY,
            article=hex_id(7),  # type: ignore[arg-type]  # a test's id
            entity=EntityId("acme"),
            sentiment="neutral",
            note="嗯",
            by="Ann",
            at=NOON,
        )
    ]


@pytest.mark.parametrize("ruling", Ruling)
async def test_one_word_is_a_verdict(desk: Desk, ruling: Ruling) -> None:
    answer = await desk.client.post(VERDICT, json={"verdict": ruling})
    assert (answer.status_code, answer.json()["by"]) == (200, "local")


async def test_an_incident_shows_what_was_said_of_it(desk: Desk) -> None:
    incident = await desk.archive.incident(1)
    for ruling in ("false", "right"):
        await desk.archive.put(schema.verdicts, incident=incident.id, verdict=ruling, given_by="desk", at=NOON)
    await desk.archive.put(schema.verdicts, incident="another", verdict="false", given_by="desk", at=NOON)
    shown = await desk.get(f"/api/v1/incidents/{incident.id}")
    assert [each["verdict"] for each in shown["verdicts"]] == ["false", "right"]
    assert shown["acknowledged"] is None


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        (VERDICT, {}, "verdict"),
        (VERDICT, {"verdict": "nonsense"}, "verdict"),
        (VERDICT, {"verdict": ["right"]}, "verdict"),
        (VERDICT, {"verdict": "right", "article": "xyz"}, "article"),
        (VERDICT, {"verdict": "right", "article": hex_id(1) + "\n"}, "article"),
        (VERDICT, {"verdict": "right", "sentiment": "angry"}, "sentiment"),
        (VERDICT, {"verdict": "right", "entity": "a\x00b"}, "entity"),
        (VERDICT, {"verdict": "right", "note": "x" * 2001}, "note"),
        (VERDICT, {"verdict": "right", "note": "\x00"}, "note"),
        (ACK, {"by": "x" * 65}, "by"),
        (ACK, {"by": "a\nb"}, "by"),
        (ACK, {"by": 7}, "by"),
        (ACK, [], "body"),
    ],
)
async def test_what_is_no_verdict_is_refused_with_its_place(desk: Desk, path: str, body: Any, where: str) -> None:
    answer = await desk.client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["where"]) == (422, where)
    assert desk.judged == []


@pytest.mark.parametrize("path", [ACK, VERDICT])
@pytest.mark.parametrize(
    ("error", "status"), [(Missing("no"), 404), (Conflict("no"), 409), (Unusable("no"), 422), (StoreError("no"), 503)]
)
async def test_what_keeps_it_from_being_written_is_told(desk: Desk, path: str, error: Exception, status: int) -> None:
    desk.refuse = error
    answer = await desk.client.post(path, json={"verdict": "right"})
    assert answer.json()["error"] == {"status": status, "message": "no"}


async def test_another_site_cannot_acknowledge(desk: Desk) -> None:
    assert (await desk.client.post(ACK, json={}, headers={"origin": "https://evil.example"})).status_code == 403
    assert (await desk.client.post(ACK, content=b"{}", headers={"content-type": "text/plain"})).status_code == 415
