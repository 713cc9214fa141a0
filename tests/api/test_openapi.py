from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from monitor.api import models
from tests.api.conftest import Desk

PATHS = {
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
    "/api/v1/articles": {"get", "post"},
    "/api/v1/articles/{article_id}": {"get"},
    "/api/v1/keys": {"get"},
    "/api/v1/keys/{key}/series": {"get"},
    "/api/v1/incidents": {"get"},
    "/api/v1/incidents/{incident_id}": {"get"},
    "/api/v1/incidents/{incident_id}/ack": {"post"},
    "/api/v1/incidents/{incident_id}/verdict": {"post"},
    "/api/v1/sources": {"get"},
    "/api/v1/score": {"post"},
    "/api/v1/stream": {"get"},
}


@pytest.fixture
async def document(desk: Desk) -> dict[str, Any]:
    document: dict[str, Any] = await desk.get("/openapi.json")
    return document


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def values(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from values(value)
    elif isinstance(node, list):
        for value in node:
            yield from values(value)


async def test_every_route_is_in_the_document(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: set(methods) for path, methods in document["paths"].items()} == PATHS


async def test_every_operation_teaches(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]
    assert len(ids) == len(set(ids))
    for operation in operations(document):
        assert operation["summary"]
        assert len(operation["description"]) > 20
        assert operation["tags"]
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (operation["operationId"], parameter["name"])
        success = operation["responses"]["200"]["content"]
        assert {"text/plain", "text/event-stream"} & set(success) or success["application/json"]["schema"]["$ref"]


async def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    used = {value.removeprefix("#/components/schemas/") for key, value in values(document) if key == "$ref"}
    assert used == set(schemas)
    for name, schema in schemas.items():
        if name != "JsonValue":  # anything at all
            assert schema["title"] == name
            assert schema["description"]


async def test_errors_have_one_shape(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status != "200" and path.startswith("/api/"):
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


async def test_bodies_are_described_and_their_examples_are_taken(desk: Desk, document: dict[str, Any]) -> None:
    push = document["paths"]["/api/v1/articles"]["post"]["requestBody"]
    assert push["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Push"}
    schemas = document["components"]["schemas"]
    (example,) = schemas["PushedArticle"]["examples"]
    assert set(schemas["PushedArticle"]["properties"]) == {
        "title", "text", "url", "id", "publisher", "published", "language",
    }  # fmt: skip
    answer = await desk.client.post("/api/v1/articles", json={"articles": [example]})
    assert answer.json()["results"][0]["outcome"] == "stored"
    (said,) = schemas["VerdictRequest"]["examples"]
    assert (await desk.client.post("/api/v1/incidents/1/verdict", json=said)).status_code == 200
    (question,) = schemas["ScoreRequest"]["examples"]
    assert (await desk.client.post("/api/v1/score", json=question)).status_code == 200


async def test_what_is_answered_is_what_the_document_says(desk: Desk) -> None:
    await desk.archive.article(1)
    await desk.archive.incident(1)
    models.ArticlePage.model_validate(await desk.get("/api/v1/articles"), extra="forbid")
    models.IncidentPage.model_validate(await desk.get("/api/v1/incidents"), extra="forbid")
    models.KeyPage.model_validate(await desk.get("/api/v1/keys"), extra="forbid")
    models.SourceList.model_validate(await desk.get("/api/v1/sources"), extra="forbid")
