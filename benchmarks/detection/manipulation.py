"""What fires, and what does not, where somebody wants the needle to move, or not to.

    python benchmarks/detection/manipulation.py

A bank lives through six calm days among three other companies: a story an hour each, one in eight bad, by twelve
publishers. From there each attack is tried by itself, through the real steps: stories are signed and told apart in a
store, publishers are counted, and the needle decides. Only the model is played, by a reader of one word. Printed for
each attack: what was sent, what of it was counted for the bank (negative stories), and how severe the incident was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from tempfile import TemporaryDirectory

from monitor.clock import DrivenClock
from monitor.core.detect.detector import Rules, State, fresh
from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.intake import IntakeRules
from monitor.pipeline import Desk, Needle
from monitor.ports import Unscorable
from monitor.replay import Rehearsal
from monitor.store.operations import upgrade
from monitor.store.queries import Queries
from monitor.store.repository import SqlStore
from monitor.types import Gist, Incident, Key, Mention, ModelId, RawItem, Score, Sentiment, SourceId

START = datetime(2024, 3, 4, tzinfo=UTC)  # a Monday
CALM = timedelta(days=6)
HOUR = timedelta(hours=1)
BANK, KEY = "Acme Bank", Key("entity:acme")
COMPANIES = (BANK, "Bolt Motors", "Cargo Lines", "Delta Foods")
WATCHLIST = "".join(f'[[company]]\nid = "{name.split()[0].lower()}"\nnames = ["{name}"]\n' for name in COMPANIES)
PRESS = tuple(f"paper{number}.example" for number in range(12))
SYLLABLES = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
BAD = "fraud"


class Reader:
    """Judges by a single word: negative where it stands in the text, else neutral."""

    model = ModelId("one word")

    def __init__(self, clock: DrivenClock) -> None:
        self._clock = clock

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        return [self._judge(mention) for mention in mentions]

    def _judge(self, mention: Mention) -> Score:
        bad = BAD in mention.article.document
        sentiment = Sentiment(
            negative=0.92 if bad else 0.04, neutral=0.05 if bad else 0.9, positive=0.03 if bad else 0.06
        )
        return Score(mention=mention, sentiment=sentiment, topics={}, model=self.model, scored=self._clock.now())


class Strangers:
    """Says nothing of what a text is about: events show in explanations, not in what fires."""

    def of(self, texts: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> list[Gist]:
        return [Gist(b"") for _ in texts]


class Newsroom:
    """Writes items: of each there is one, unless it is said to be a copy."""

    def __init__(self, now: datetime, seed: int = 1) -> None:
        self.now = now
        self.random = Random(seed)
        self._numbers = count(1)

    def words(self, number: int) -> str:
        return " ".join("".join(self.random.choices(SYLLABLES, k=3)) for _ in range(number))

    def headline(self, about: str = BANK, *, bad: bool = True) -> str:
        """Return a headline like no other."""
        return f"{about} {BAD if bad else 'news'}: {self.words(7)}"

    def item(self, title: str, after: timedelta, publisher: str, **more: object) -> RawItem:
        """Return an item that comes so long after now."""
        at = self.now + after
        values: dict[str, object] = {
            "source": SourceId("wire"),
            "raw": title.encode(),
            "handed_over": at,
            "received": at,
            "title": title,
            "guid": f"wire-{next(self._numbers)}",
            "publisher": publisher,
            "published": at,
        }
        return RawItem(**{**values, **more})  # type: ignore[arg-type]  # the caller names the fields it means

    def spread(
        self, titles: Sequence[str], publishers: Sequence[str], over: timedelta = HOUR, **more: object
    ) -> list[RawItem]:
        """Return an item for each title, over a time, by turns of publishers."""
        return [
            self.item(title, over * place / len(titles), publishers[place % len(publishers)], **more)
            for place, title in enumerate(titles)
        ]

    def calm(self, days: float) -> list[RawItem]:
        """Return ordinary news of all companies."""
        titles = [
            self.headline(COMPANIES[place % len(COMPANIES)], bad=self.random.random() < 0.125)
            for place in range(int(days * 24) * len(COMPANIES))
        ]
        step = timedelta(days=days) / len(titles)
        return [self.item(title, step * place, self.random.choice(PRESS)) for place, title in enumerate(titles)]


@dataclass(frozen=True, slots=True)
class Attack:
    """What is sent, whether an incident about the bank comes of it, and why."""

    name: str
    sent: Callable[[Newsroom], list[RawItem]]
    fires: bool
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attack: items sent, negative stories counted for the bank, and its incidents."""

    sent: int
    counted: int
    incidents: tuple[Incident, ...]


def true_surge(room: Newsroom) -> list[RawItem]:
    return room.spread([room.headline() for _ in range(14)], PRESS[:6])


def syndicated(room: Newsroom) -> list[RawItem]:
    title = f"{BANK} under investigation for {BAD} after auditors refuse to sign its accounts"
    return room.spread(
        [f"{title} - The {room.words(1).title()}" for _ in range(200)], [f"p{n}.example" for n in range(60)]
    )


def retitled(room: Newsroom) -> list[RawItem]:
    text = f"{BANK} is accused of {BAD}. " + ". ".join(room.words(12) for _ in range(12))
    items = room.spread([room.headline() for _ in range(40)], [f"p{n}.example" for n in range(40)])
    return [replace(item, body=text) for item in items]


def template(room: Newsroom) -> list[RawItem]:
    titles = [f"{BANK} {BAD} claims reach {room.words(1)} as customers queue for their savings" for _ in range(20)]
    return room.spread(titles, PRESS[:6])


def loud(room: Newsroom) -> list[RawItem]:
    return room.spread([room.headline() for _ in range(40)], ["loud.example"])


def subdomains(room: Newsroom) -> list[RawItem]:
    items = room.spread([room.headline() for _ in range(40)], [""])
    return [replace(item, link=f"https://desk{place}.loud.example/{place}") for place, item in enumerate(items)]


def accomplices(others: int) -> Callable[[Newsroom], list[RawItem]]:
    """Return an attack by one loud publisher with stories by so many others."""

    def sent(room: Newsroom) -> list[RawItem]:
        voices = ["loud.example"] * (40 - others) + [f"friend{n}.example" for n in range(others)]
        room.random.shuffle(voices)
        return room.spread([room.headline() for _ in range(40)], voices)

    return sent


def accounts(room: Newsroom) -> list[RawItem]:
    return room.spread([room.headline() for _ in range(14)], [f"account{n}.example" for n in range(14)])


def drip(room: Newsroom) -> list[RawItem]:
    """Twice the ordinary number of bad stories, evenly, among the ordinary news."""
    bad = [room.headline() for _ in range(18)]
    return sorted([*room.calm(6), *room.spread(bad, PRESS, timedelta(days=6))], key=lambda item: item.received)


def ramp(room: Newsroom) -> list[RawItem]:
    """A quarter more bad stories every day, from one to five a day beside the ordinary three."""
    bad = [
        room.item(room.headline(), timedelta(days=day + part / number), room.random.choice(PRESS))
        for day in range(8)
        for number in [round(1.25**day)]
        for part in range(number)
    ]
    return sorted([*room.calm(8), *bad], key=lambda item: item.received)


def backdated(room: Newsroom) -> list[RawItem]:
    items = room.spread([room.headline() for _ in range(40)], PRESS)
    return [replace(item, published=item.received - timedelta(days=2)) for item in items]


def future(room: Newsroom) -> list[RawItem]:
    return [replace(item, published=item.received + timedelta(days=300)) for item in true_surge(room)]


def poisoned(stories: int) -> Callable[[Newsroom], list[RawItem]]:
    """Return an attack by so many bad stories that claim to be old, to make a surge look normal; then the surge."""

    def sent(room: Newsroom) -> list[RawItem]:
        old = room.spread([room.headline() for _ in range(stories)], PRESS)
        old = [replace(item, published=item.received - timedelta(days=3)) for item in old]
        room.now += 6 * HOUR
        return [*old, *true_surge(room)]

    return sent


def drowned(room: Newsroom) -> list[RawItem]:
    """A surge under twenty times as many good stories."""
    good = room.spread([room.headline(bad=False) for _ in range(280)], PRESS)
    return sorted([*true_surge(room), *good], key=lambda item: item.received)


def revised(room: Newsroom) -> list[RawItem]:
    """One article whose text becomes another story again and again."""
    return [replace(item, guid="the same") for item in loud(room)]


ATTACKS = (
    Attack("a true surge, to compare", true_surge, True, "14 stories by 6 publishers in an hour"),
    Attack(
        "200 signed copies by 60 publishers", syndicated, False, "one story: signatures leave publishers' names out"
    ),
    Attack("one text under 40 titles", retitled, False, "one story: signatures read the whole text"),
    Attack("one article revised 40 times", revised, False, "a revision counts nowhere"),
    Attack("one headline, a word changed, 20 times", template, True, "short texts that differ in a word are stories"),
    Attack("one loud publisher", loud, False, "a minimum of independent publishers"),
    Attack("one publisher on 40 subdomains", subdomains, False, "a publisher is a registrable domain"),
    Attack(
        "a loud one, and 1 story by another", accomplices(1), False, "counts for twice what others bring in excess: 3"
    ),
    Attack(
        "a loud one, and 2 stories by others", accomplices(2), True, "counts for twice what others bring in excess: 6"
    ),
    Attack("14 new accounts with words of their own", accounts, True, "only their names tell them from 14 papers"),
    Attack("a surge under 280 good stories", drowned, True, "counts are judged apart from shares"),
    Attack("a surge dated next year", future, True, "an event's time is never after its receipt"),
    Attack("40 stories dated two days back", backdated, False, "older than what may come late: history, not told"),
    Attack("400 such stories, then a surge", poisoned(400), True, "history is learned, at half weight: likelier"),
    Attack("3,000 such stories, then a surge", poisoned(3000), False, "history is learned: it looks normal"),
    Attack("twice as many bad stories for 6 days", drip, False, "too slow for a window of a day, then learned"),
    Attack("a quarter more every day for 8 days", ramp, False, "learned as it grows"),
)


async def calm_state() -> State:
    """Return what the needle knows after the calm days."""
    async with stage(fresh(Rules(awaited=frozenset())), START) as opened:
        await opened.live_through(Newsroom(START, seed=7).calm(CALM.days))
        await opened.pass_time(START + CALM)
        return opened.needle.state


async def attempt(attack: Attack, calm: State) -> Outcome:
    """Try one attack in a store of its own, and let it end."""
    async with stage(calm, START + CALM) as opened:
        items = attack.sent(Newsroom(START + CALM))
        await opened.live_through(items)
        await opened.pass_time(items[-1].received + timedelta(hours=2))
        queries = Queries(opened.store.reader)
        rollups = await queries.sums(START - CALM, opened.clock.now(), step=timedelta(days=1), key=KEY)
        found = tuple(each for each in await opened.incidents() if KEY in each.keys)
        return Outcome(len(items), sum(rollup.negative for rollup in rollups), found)


@asynccontextmanager
async def stage(state: State, start: datetime) -> AsyncIterator[Rehearsal]:
    """Open the steps on an empty store, with a needle that knows this much."""
    watchlist = Watchlist.parse_toml(WATCHLIST, "watchlist")
    desk = Desk(watchlist=watchlist, tagger=Tagger(watchlist), gists=Strangers(), intake=IntakeRules(), routes=())
    with TemporaryDirectory(prefix="newsquake-manipulation-") as folder:
        url, clock = f"sqlite:///{folder}/store.db", DrivenClock(start)
        await upgrade(url)
        store = await SqlStore.open(url, clock)
        try:
            yield Rehearsal(store=store, clock=clock, needle=Needle(state), desk=desk, scorer=Reader(clock))
        finally:
            await store.close()


async def main() -> None:
    calm = await calm_state()
    print(f"{'attack':<40} {'sent':>5} {'counted':>7} {'told':>8}  why")
    for attack in ATTACKS:
        outcome = await attempt(attack, calm)
        told = max((incident.severity for incident in outcome.incidents), key=lambda each: each.rank, default="no")
        print(f"{attack.name:<40} {outcome.sent:>5} {outcome.counted:>7} {told:>8}  {attack.why}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
