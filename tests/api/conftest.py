from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.api.listen import address_of
from monitor.api.server import ApiServer, create_app
from monitor.api.services import Assessment, Check, CompanyAssessment, Services, Submit, Unusable
from monitor.core.codec import to_json
from monitor.core.incidents import acknowledge
from monitor.core.tokens import hash_of, secret_of
from monitor.errors import StoreError
from monitor.ports import Settled
from monitor.reading import KeyLevel, Live, Normal, Scope, SourceLevel, TargetLevel, Token, WindowLevel
from monitor.store import schema
from monitor.store.engine import locate, reading, writing
from monitor.store.queries import Queries
from monitor.telemetry import Telemetry
from monitor.types import (
    Acknowledgement,
    EntityId,
    Evidence,
    Incident,
    IncidentId,
    IncidentKind,
    IncidentState,
    Json,
    Key,
    Language,
    ModelId,
    Outcome,
    Severity,
    SourceId,
    StoryId,
    TargetId,
    Verdict,
)
from tests.databases import Sql, database

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACME, ALL = Key("entity:acme"), Key("all")
MODEL = ModelId("00112233aabbccdd")
MAX_BODY = 100_000
SECRET = secret_of(bytes(range(32)))


class Stopped:
    """A clock that stands at noon."""

    def now(self) -> datetime:
        return NOON

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def hex_id(number: int) -> str:
    return f"{number:032x}"


@dataclass
class Archive:
    """A real database, and the few words that fill it."""

    writer: AsyncEngine
    queries: Queries

    def lose(self) -> None:
        """Let nothing be read any more, as when a server is away."""
        self.queries._engine = reading(locate("postgresql://nobody@127.0.0.1:1/nothing"))

    async def put(self, table: Any, **values: Any) -> None:
        async with self.writer.begin() as connection:
            await connection.execute(table.insert().values(**values))

    async def article(self, number: int, **values: Any) -> str:
        row: dict[str, Any] = {
            "id": hex_id(number),
            "source": "wire",
            "publisher": "news.example",
            "title": f"Acme headline {number}",
            "text": "The bank said nothing.",
            "link": f"https://news.example/{number}",
            "language": "en",
            "published": NOON - timedelta(hours=1),
            "received": NOON - timedelta(minutes=60 - number),
            "timeliness": "live",
            "signature": b"",
            "digest": "",
            "topics": {"Legal | Regulation": 0.9},
        }
        await self.put(schema.articles, **(row | values))
        return hex_id(number)

    async def judgement(self, number: int, key: str = ACME, **values: Any) -> None:
        row: dict[str, Any] = {
            "key": key,
            "published": NOON - timedelta(hours=1),
            "article": hex_id(number),
            "model": MODEL,
            "entity": "acme" if key == ACME else None,
            "source": "wire",
            "publisher": "news.example",
            "negative": 0.8,
            "neutral": 0.15,
            "positive": 0.05,
            "story": hex_id(1),
            "leads": number == 1,
            "scored": NOON,
        }
        await self.put(schema.judgements, **(row | values))

    async def rollup(self, ago: timedelta, key: str = ACME, **values: Any) -> None:
        row: dict[str, Any] = {
            "bucket": NOON - ago,
            "key": key,
            "model": MODEL,
            "history": False,
            "stories": 4,
            "negative": 3,
            "weight": 2.5,
            "sum_negative": 2.6,
            "sum_neutral": 0.8,
            "sum_positive": 0.6,
        }
        await self.put(schema.rollups, **(row | values))

    async def incident(self, number: int, **values: Any) -> Incident:
        incident = replace(an_incident(number), **values)
        await self.put(
            schema.incidents,
            id=incident.id,
            kind=incident.kind,
            state=incident.state,
            severity=incident.severity,
            opened=incident.opened,
            updated=incident.updated,
            resolved=incident.resolved,
            revision=incident.revision,
            value=to_json(incident),
        )
        for key in incident.keys:
            await self.put(schema.incident_keys, key=key, incident=incident.id)
        return incident


def an_incident(number: int) -> Incident:
    return Incident(
        id=IncidentId(hex_id(number)),
        kind=IncidentKind.SURGE,
        state=IncidentState.FIRING,
        severity=Severity.HIGH,
        keys=(ACME, ALL),
        active=frozenset({ACME}),
        opened=NOON - timedelta(hours=2) + timedelta(minutes=number),
        updated=NOON,
        resolved=None,
        window=timedelta(hours=1),
        observed=5.5,
        expected=0.4,
        chance=1e-6,
        stories=6,
        publishers=3,
        evidence=(
            Evidence(
                story=StoryId(hex_id(1)),
                title="Acme Bank under investigation",
                link=None,
                publisher="news.example",
                language=Language("en"),
                published=NOON,
                negative=0.97,
                copies=4,
                publishers=2,
            ),
        ),
        late=False,
        model=MODEL,
        revision=1,
    )


LIVE = Live(
    model=MODEL,
    ticked=NOON,
    keys=(
        KeyLevel(
            key=ACME,
            surging=True,
            blind=False,
            learning_since=None,
            windows=(WindowLevel(window=timedelta(hours=1), stories=7, negative=5.5, expected=0.4),),
        ),
        KeyLevel(key=ALL, surging=False, blind=False, learning_since=NOON - timedelta(days=1), windows=()),
        KeyLevel(key=Key("source:wire"), surging=False, blind=True, learning_since=None, windows=()),
    ),
    incidents=(an_incident(1),),
    sources=(
        SourceLevel(id=SourceId("wire"), kind="feed", last_success=NOON, error=None),
        SourceLevel(id=SourceId("push"), kind="push", last_success=None, error=None),
    ),
    targets=(TargetLevel(id=TargetId("desk"), kind="webhook", undelivered=2),),
)


@pytest.fixture
async def archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Archive]:
    """An archive in SQLite, or in the kind of database that a test's parameter names."""
    async with database(getattr(request, "param", "sqlite"), tmp_path) as opened:
        assert isinstance(opened, Sql)
        url = locate(opened.url)
        writer, reader = writing(url), reading(url)
        yield Archive(writer, Queries(reader))
        await writer.dispose()
        await reader.dispose()


@dataclass
class Desk:
    """A running API, what it was told to say, and a client of it."""

    archive: Archive
    telemetry: Telemetry = field(default_factory=Telemetry)
    live: Live = field(default_factory=lambda: LIVE)
    checks: list[Check] = field(default_factory=lambda: [Check(name="model", ok=True, detail="serving")])
    doors: dict[SourceId, Submit] = field(default_factory=dict)
    pushed: list[Json] = field(default_factory=list)
    judged: list[Verdict] = field(default_factory=list)
    tokens: dict[bytes, Token] = field(default_factory=dict)
    refuse: Exception | None = None
    hold: asyncio.Event | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    # Without verify=False a client would read the system's certificates, which nothing here needs.
    client: httpx2.AsyncClient = field(default_factory=partial(httpx2.AsyncClient, verify=False))
    server: ApiServer | None = None

    def __post_init__(self) -> None:
        self.doors[SourceId("push")] = self.submit

    def services(self) -> Services:
        return Services(
            reader=self.archive.queries,
            live=lambda: self.live,
            doors=self.doors,
            score=self.score,
            acknowledge=self.acknowledge,
            judge=self.judge,
            normal=lambda key, at, step: Normal(expected=0.25, upper=2.0) if key == ACME else None,
            names=lambda key: {Language("en"): "Acme Bank", Language("zh"): "艾克米银行"} if key == ACME else {},
            alive=lambda: [Check(name="loop", ok=True, detail="running")],
            ready=lambda: self.checks,
            tokens=self,
            telemetry=self.telemetry,
            clock=Stopped(),
            stopping=self.stopping,
        )

    async def by_hash(self) -> Mapping[bytes, Token]:
        if isinstance(self.refuse, StoreError):
            raise self.refuse
        return self.tokens

    def token(self, *scopes: str, secret: str = SECRET, **more: Any) -> dict[str, str]:
        """Make a token, and return the header that bears it."""
        given: dict[str, Any] = {"id": "1f2e3d4c", "name": "grafana", "created": NOON - timedelta(days=1)}
        scoped = frozenset(Scope(each) for each in scopes)
        self.tokens[hash_of(secret)] = Token(scopes=scoped, **(given | more))
        return {"authorization": f"Bearer {secret}"}

    async def submit(self, articles: Sequence[Json]) -> Sequence[Settled]:
        if self.hold is not None:
            await self.hold.wait()
        if self.refuse is not None:
            raise self.refuse
        self.pushed += articles
        return [self._settled(article) for article in articles]

    def _settled(self, article: Json) -> Settled:
        if isinstance(article, dict) and article.get("title"):
            return Settled(outcome=Outcome.STORED, article=hex_id(len(self.pushed)))  # type: ignore[arg-type]
        return Settled(outcome=Outcome.DEAD, error="there is no text")

    async def score(self, text: str, entity: str | None) -> Assessment:
        if entity == "Nobody":
            raise Unusable("entity: 'Nobody' does not stand in the text")
        sure: Mapping[str, float] = {"negative": 0.9, "neutral": 0.08, "positive": 0.02}
        company = CompanyAssessment(id=EntityId("acme"), name="Acme Bank", label="negative", probabilities=sure)
        return Assessment(
            label="negative", probabilities=sure, topics={"Legal | Regulation": 0.9}, entities=[company], model=MODEL
        )

    async def acknowledge(self, id_: IncidentId, acknowledgement: Acknowledgement) -> Incident:
        if self.refuse is not None:
            raise self.refuse
        return acknowledge(replace(an_incident(1), id=id_), acknowledgement)

    async def judge(self, verdict: Verdict) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.judged.append(verdict)

    async def get(self, path: str, **query: str | int) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def desk(archive: Archive) -> AsyncIterator[Desk]:
    desk = Desk(archive)
    app = create_app(desk.services(), hosts=["newsquake.example"], max_body=MAX_BODY)
    server = desk.server = ApiServer(app, address_of("127.0.0.1:0"))
    server.bind()
    serving = asyncio.create_task(server.serve())
    async with httpx2.AsyncClient(base_url=f"http://{server.address}", verify=False) as client:
        desk.client = client
        yield desk
    await server.stop(5)
    await serving
