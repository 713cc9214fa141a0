"""How many articles a second each database takes: the whole transaction of `watch`, without a model.

    python benchmarks/store.py [--articles 10240] [--postgresql postgresql://postgres@127.0.0.1:5433/postgres]

The same made-up articles, cleaned, tagged and judged beforehand, go through `watch_step` in units of 256: stories,
judgements, rollups, the detector's decision, the ledger. SQLite writes a file in the temporary folder; for PostgreSQL a
database is made on the server that is named, and dropped again. Both wait for the disk as they do in earnest. `trips`
are the statements a unit sends.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import event, text
from sqlalchemy.engine import make_url

from monitor.clock import SystemClock
from monitor.core.detect.detector import Rules, fresh
from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.intake import IntakeRules, read
from monitor.core.routing import Route
from monitor.pipeline import UNIT, Desk, Gathering, Judged, Needle, Scored, watch_step
from monitor.ports import Batch
from monitor.scoring.bench import documents
from monitor.scoring.gist import open_gists
from monitor.store.engine import locate, mending
from monitor.store.operations import upgrade
from monitor.store.repository import SqlStore
from monitor.types import Article, ModelId, RawItem, Score, Sentiment, SourceId, TargetId

COMPANIES = ("Acme Bank", "Bolt Motors", "Cobalt Mining", "Dune Energy", "Elm Foods", "Fjord Shipping")
WATCHLIST = "".join(f'[[company]]\nid = "{name.split()[0].lower()}"\nnames = ["{name}"]\n' for name in COMPANIES)
SOURCE, MODEL = SourceId("bench"), ModelId("0" * 16)
TOPICS = ("Earnings", "Legal | Regulation", "Markets")
WARM = 4  # units before the clock starts


def units(count: int, desk: Desk) -> list[Scored]:
    """Return judged articles in units, of mixed length, each about one of six companies."""
    chance, now = random.Random(1), datetime.now(UTC)
    judged: list[Judged] = []
    for number, body in enumerate(documents(count, seed=2)):
        at = now - timedelta(hours=2) + timedelta(seconds=number / 4)
        title = f"{chance.choice(COMPANIES)} {' '.join(body.split()[:10])}"
        item = RawItem(
            source=SOURCE,
            raw=b"",
            handed_over=at,
            received=at,
            title=title,
            body=body,
            guid=str(number),
            publisher=f"paper{number % 40}.example",
            published=at,
        )
        article = read(item, desk.intake)
        assert isinstance(article, Article)
        negative = chance.betavariate(0.4, 1.2)
        sentiment = Sentiment(negative=negative, neutral=(1 - negative) * 0.8, positive=(1 - negative) * 0.2)
        scores = tuple(
            Score(
                mention=mention,
                sentiment=sentiment,
                topics={} if mention.entity else {chance.choice(TOPICS): 0.9},
                model=MODEL,
                scored=now,
            )
            for mention in desk.tagger.tag(article).mentions
        )
        (gist,) = desk.gists.of([(article.document, [span for score in scores for span in score.mention.spans])])
        judged.append(Judged(article=article, scores=scores, unjudged=0, gist=gist))
    return [
        Scored(
            batches=(Batch(source=SOURCE, items=tuple(_raw(each) for each in judged[start : start + UNIT])),),
            entries=tuple(judged[start : start + UNIT]),
        )
        for start in range(0, count, UNIT)
    ]


def _raw(judged: Judged) -> RawItem:
    at = judged.article.received
    return RawItem(source=SOURCE, raw=b"", handed_over=at, received=at, title=judged.article.title, body="")


async def measure(url: str, work: Sequence[Scored], desk: Desk) -> tuple[float, float]:
    """Return articles a second, and statements a unit."""
    await upgrade(url)
    store = await SqlStore.open(url, SystemClock())
    await store.own("all")
    trips = 0

    def count(*_: object) -> None:
        nonlocal trips
        trips += 1

    needle, gathering = Needle(fresh(Rules())), Gathering()
    for unit in work[:WARM]:
        await watch_step(unit, store=store, needle=needle, desk=desk, clock=SystemClock(), gathering=gathering)
    event.listen(store._writer.sync_engine, "before_cursor_execute", count)  # noqa: SLF001 - only looked at
    began = time.perf_counter()
    for unit in work[WARM:]:
        await watch_step(unit, store=store, needle=needle, desk=desk, clock=SystemClock(), gathering=gathering)
    spent = time.perf_counter() - began
    await store.close()
    return sum(len(unit.entries) for unit in work[WARM:]) / spent, trips / len(work[WARM:])


@asynccontextmanager
async def database_on(server: str) -> AsyncIterator[str]:
    """Make a database on a server, and drop it at the end."""
    url = make_url(server).set(database=f"newsquake_bench_{random.SystemRandom().randrange(10**9)}")
    engine = mending(locate(server))
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(f"CREATE DATABASE {url.database}"))
            try:
                yield url.render_as_string(hide_password=False)
            finally:
                await connection.execute(text(f"DROP DATABASE {url.database} WITH (FORCE)"))
    finally:
        await engine.dispose()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=40 * UNIT)
    parser.add_argument("--postgresql", metavar="URL", help="a server on which a database may be made")
    asked = parser.parse_args()
    watchlist = Watchlist.parse_toml(WATCHLIST, "watchlist")
    routes = (Route(targets=(TargetId("log"),)),)
    desk = Desk(watchlist=watchlist, tagger=Tagger(watchlist), gists=open_gists(), intake=IntakeRules(), routes=routes)
    work = units(asked.articles, desk)
    print(f"machine: {platform.machine()}, {platform.platform()}; {datetime.now(UTC):%Y-%m-%d}")
    with tempfile.TemporaryDirectory(prefix="newsquake-bench-") as folder:
        rate, trips = await measure(f"sqlite:///{folder}/bench.db", work, desk)
    print(f"SQLite       {rate:8.0f} articles/s  {trips:5.1f} trips a unit")
    if asked.postgresql:
        async with database_on(asked.postgresql) as url:
            rate, trips = await measure(url, work, desk)
        print(f"PostgreSQL   {rate:8.0f} articles/s  {trips:5.1f} trips a unit")


if __name__ == "__main__":
    asyncio.run(main())
