"""The real steps on a real store and a driven clock; only the model is played, by a reader of single words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

from sqlalchemy import func, select

from monitor.clock import DrivenClock
from monitor.core.detect.detector import Rules, fresh
from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.intake import IntakeRules
from monitor.core.routing import Route
from monitor.pipeline import Desk as Decided
from monitor.pipeline import Needle
from monitor.ports import Gists, Pending, Scorer, Unscorable
from monitor.reading import IncidentFilter
from monitor.replay import Rehearsal
from monitor.store import schema
from monitor.store.queries import Queries
from monitor.store.repository import SqlStore
from monitor.types import Evidence, Gist, Incident, Key, Mention, ModelId, RawItem, Score, Sentiment, SourceId, TargetId
from tests.databases import Sql, database

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WATCHLIST = """
[[company]]
id = "acme"
names = ["Acme Bank", "Acme", "艾克米银行"]
parent = "acme-group"

[[company]]
id = "acme-group"
names = ["Acme Group"]

[[company]]
id = "bolt"
names = ["Bolt Motors", "博尔特汽车"]
"""
WORDS_MODEL = ModelId("words")
BAD = ("fraud", "plunge", "default", "raid", "loss", "欺诈", "暴跌", "亏损")
# Enough different words that no two headlines made of them are near-copies.
WORDS = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "harbor", "indigo", "juniper", "kelp",
    "lagoon", "meadow", "nectar", "onyx", "pebble", "quartz", "raven", "saffron", "tundra", "umber", "velvet",
    "willow", "xenon", "yarrow", "zephyr", "anchor", "beacon", "cobalt", "dune", "echo", "falcon", "glacier",
    "hazel", "iris", "jasper", "knoll", "lotus", "marble", "nimbus", "orchid", "prairie", "quill", "ripple",
    "slate", "thistle", "upland", "valley", "walnut", "yonder", "zenith", "acorn", "bramble", "cliff", "drift",
    "estuary", "fern", "grove", "heath", "islet", "jetty", "kiln", "ledge", "mesa", "notch", "oasis", "pine",
    "quarry", "reef", "spruce", "tide", "urn", "vault", "wharf", "yew", "zinc", "alder", "birch", "canyon", "dale",
    "elm", "flint", "gorge", "hollow", "inlet", "jade", "kestrel", "linden", "moor", "nook", "osprey",
]  # fmt: skip


class WordScorer:
    """Judges by single words: negative where a bad one stands in the text, else neutral."""

    def __init__(self, clock: DrivenClock, model: ModelId = WORDS_MODEL, bad: Sequence[str] = BAD) -> None:
        self.model = model
        self._clock = clock
        self._bad = bad

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        return [self._judge(mention) for mention in mentions]

    def _judge(self, mention: Mention) -> Score:
        text = mention.article.document.lower()
        bad = any(word in text for word in self._bad)
        sentiment = (
            Sentiment(negative=0.92, neutral=0.05, positive=0.03)
            if bad
            else Sentiment(negative=0.04, neutral=0.9, positive=0.06)
        )
        topics = {} if mention.entity else {"Energy": 0.9 if "oil" in text else 0.05, "Other": 0.05}
        return Score(mention=mention, sentiment=sentiment, topics=topics, model=self.model, scored=self._clock.now())


class Strangers:
    """Says nothing of any text, so that each story is an event of its own."""

    def of(self, texts: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> list[Gist]:
        return [Gist(b"") for _ in texts]


class Desk:
    """What a desk can do and see."""

    def __init__(self, stage: Rehearsal) -> None:
        self.stage = stage
        self._random = Random(7)
        self._numbers = count(1)
        self._read = Queries(stage.store.reader)

    @property
    def now(self) -> datetime:
        return self.stage.clock.now()

    def headline(self, about: str, *, bad: bool) -> str:
        """Return a headline like no other."""
        some = " ".join(self._random.sample(WORDS, 7))
        return f"{about} {self._random.choice(BAD[:5]) if bad else 'update'}: {some}"

    def item(self, title: str, at: datetime, publisher: str, source: str = "wire", **more: object) -> RawItem:
        number = next(self._numbers)
        values: dict[str, object] = {
            "source": SourceId(source),
            "raw": title.encode(),
            "handed_over": at,
            "received": at,
            "title": title,
            "guid": f"{source}-{number}",
            "publisher": publisher,
            "published": at,
        }
        return RawItem(**{**values, **more})  # type: ignore[arg-type]  # a test names the fields it means

    async def calm(
        self, days: float, *, about: Sequence[str] = ("Acme Bank", "Bolt Motors", "Oil"), an_hour: float = 1
    ) -> None:
        """Let calm days pass: mostly neutral news, an ordinary bad story now and then, day and night."""
        start, items = self.now, []
        for step in range(int(days * 24 * an_hour * len(about))):
            at = start + timedelta(hours=(step + self._random.random()) / (an_hour * len(about)))
            title = self.headline(about[step % len(about)], bad=self._random.random() < 0.12)
            items.append(self.item(title, at, f"paper{self._random.randrange(12)}.example"))
        await self.read(items)
        await self.wait(start + timedelta(days=days) - self.now)

    async def publish(
        self,
        stories: Sequence[str],
        *,
        publishers: int = 6,
        over: timedelta = timedelta(minutes=30),
        source: str = "wire",
        **more: object,
    ) -> None:
        """Publish stories one after another, spread over a time, by turns of publishers."""
        start = self.now
        await self.read(
            [
                self.item(
                    title, start + over * number / len(stories), f"paper{number % publishers}.example", source, **more
                )
                for number, title in enumerate(stories)
            ]
        )
        await self.wait(start + over - self.now)

    async def read(self, items: Sequence[RawItem]) -> None:
        await self.stage.live_through(sorted(items, key=lambda item: item.received))

    async def wait(self, span: timedelta) -> None:
        await self.stage.pass_time(self.now + span)

    async def incidents(self) -> list[Incident]:
        """Return all incidents, the first opened first."""
        return list(await self._read.incidents(IncidentFilter(), before=None, limit=200))[::-1]

    async def messages(self) -> Sequence[Pending]:
        return await self.stage.store.pending(TargetId("desk"), self.now, 100)

    async def latest_story(self, key: Key) -> Evidence:
        """Return the newest negative story under a key."""
        async with self.stage.store.transaction() as transaction:
            found = await transaction.evidence(
                key, ModelId("words"), self.now - timedelta(days=1), self.now + timedelta(days=1), 200
            )
        return max(found, key=lambda each: each.published)

    async def count(self, table: str) -> int:
        async with self.stage.store.reader.connect() as connection:
            return int(await connection.scalar(select(func.count()).select_from(schema.metadata.tables[table])) or 0)


@asynccontextmanager
async def open_desk(
    folder: Path,
    rules: Rules | None = None,
    scorer: Scorer | None = None,
    backend: str = "sqlite",
    gists: Gists | None = None,
) -> AsyncIterator[Desk]:
    """Open a desk on a store of its own."""
    async with database(backend, folder) as opened:
        assert isinstance(opened, Sql)
        async with _seated(opened.url, rules or Rules(), scorer, gists or Strangers()) as desk:
            yield desk


@asynccontextmanager
async def _seated(url: str, rules: Rules, scorer: Scorer | None, gists: Gists) -> AsyncIterator[Desk]:
    clock = DrivenClock(MONDAY)
    store = await SqlStore.open(url, clock)
    watchlist = Watchlist.parse_toml(WATCHLIST, "watchlist.toml")
    decided = Decided(
        watchlist=watchlist,
        tagger=Tagger(watchlist),
        gists=gists,
        intake=IntakeRules(),
        routes=(Route(targets=(TargetId("desk"),)),),
    )
    try:
        needle = Needle(fresh(rules))
        yield Desk(Rehearsal(store=store, clock=clock, needle=needle, desk=decided, scorer=scorer or WordScorer(clock)))
    finally:
        await store.close()
