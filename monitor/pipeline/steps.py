"""The way of an item, in three steps, each ending at a durable boundary.

    collect_step   batches → articles      clean, identify, sign; what cannot be read becomes a dead letter
    score_step     articles → scores       tag the companies, judge the whole and each of them
    watch_step     scores → the store      stories, rollups, the needle, incidents and the outbox: one transaction

The values between them are here, too, and what a step is given: the desk, and the needle.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core import canary
from monitor.core.counting import judgements_of, keyed, rollups_of
from monitor.core.detect.detector import STATE_VERSION, Decision, Rules, State, decide, dump
from monitor.core.entities.tagger import Tagged, Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.explain import COMPARED, Window, counted_in, explain, weight_ratio
from monitor.core.exports import DEAD_LETTERS, SCORED, dead_letter_export, scored_export
from monitor.core.incidents import STORIES, Folded, decisive, evidence_wanted, fold
from monitor.core.intake import IntakeRules, read
from monitor.core.routing import Route, messages_for
from monitor.core.stories import StoryBook
from monitor.core.text.signature import bands
from monitor.pipeline.gathering import Gathering
from monitor.ports import (
    Batch,
    Clock,
    Export,
    Gists,
    Judgement,
    Ledger,
    Scorer,
    Settled,
    Store,
    Transaction,
    Unscorable,
)
from monitor.types import (
    Article,
    DeadLetter,
    Explanation,
    Gist,
    Mention,
    Outcome,
    RawItem,
    Rollup,
    Score,
    Signal,
    SourceId,
)

UNIT = 256  # items that are scored and committed together, where that many wait
MESSAGE_LIFE = timedelta(days=3)  # a message that no target has taken by then is given up

NO_GIST = Gist(b"")  # of an article that is in its event already
NOTHING = Folded(incidents=(), changes=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the operator decides and may change while the daemon runs; swapped whole.

    A unit under way at the change was read by the old one and is counted and routed by the new.
    """

    watchlist: Watchlist
    tagger: Tagger
    gists: Gists
    intake: IntakeRules
    routes: tuple[Route, ...]
    combine: bool = False
    exports: frozenset[str] = frozenset()  # the kinds of records that are written to topics outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An article that is stored already; `revised` if its text has changed since."""

    article: Article
    revised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A new article, what it is to be judged for, and what it is about."""

    article: Article
    tagged: Tagged
    gist: Gist


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An article with all its scores, the whole first; `unjudged` companies were found beyond the limit."""

    article: Article
    scores: tuple[Score, ...]
    unjudged: int
    gist: Gist = NO_GIST


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A unit after `collect_step`: one entry for each item of the batches, in order."""

    batches: tuple[Batch, ...]
    entries: tuple[DeadLetter | Known | Read, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A unit after `score_step`: one entry for each item of the batches, in order."""

    batches: tuple[Batch, ...]
    entries: tuple[DeadLetter | Known | Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A 60-second UTC tick on its way through the same queue as the units, so that their order is kept."""

    at: datetime


class Needle:
    """The detector's state. A decision is adopted only after its commit, so a failure leaves it where the store is."""

    def __init__(self, state: State) -> None:
        self.state = state

    def decide(self, rollups: Sequence[Rollup], now: datetime) -> Decision:
        """Say what these rollups mean, at `now`."""
        return decide(rollups, self.state, now)

    def adopt(self, state: State) -> None:
        """Take over the state of a decision that has been committed. The rules stay those in force by now."""
        self.state = replace(state, rules=self.state.rules)

    def obey(self, rules: Rules) -> None:
        """Decide by other rules from the next call on, also where a decision by the old ones is being committed."""
        self.state = replace(self.state, rules=rules)


async def collect_step(batches: Sequence[Batch], *, desk: Desk, store: Store) -> Collected:
    """Clean, identify and tag every item. Articles the store knows are not tagged: they need no score."""
    items = [item for batch in batches for item in batch.items]
    # Cleaning is work for the processor: in a thread it does not hold up the sources and the API.
    texts = await asyncio.to_thread(lambda: [_read(item, desk.intake) for item in items])
    digests = await store.known({each.id for each in texts if isinstance(each, Article)})

    new = [each for each in texts if isinstance(each, Article) and each.id not in digests]
    found = iter(await asyncio.to_thread(look_at, new, desk))

    def entry_of(text: DeadLetter | Article) -> DeadLetter | Known | Read:
        if isinstance(text, DeadLetter):
            return text
        if text.id in digests:
            return Known(article=text, revised=digests[text.id] != text.digest)
        return next(found)

    return Collected(batches=tuple(batches), entries=tuple(entry_of(text) for text in texts))


def look_at(articles: Sequence[Article], desk: Desk) -> list[Read]:
    """Find the companies of new articles, and what the articles are about beside them."""
    tagged = [desk.tagger.tag(article) for article in articles]
    spans = [[span for mention in each.mentions for span in mention.spans] for each in tagged]
    gists = desk.gists.of([(article.document, own) for article, own in zip(articles, spans, strict=True)])
    return [
        Read(article=article, tagged=own, gist=gist) for article, own, gist in zip(articles, tagged, gists, strict=True)
    ]


def _read(item: RawItem | DeadLetter, rules: IntakeRules) -> Article | DeadLetter:
    return item if isinstance(item, DeadLetter) else read(item, rules)


async def score_step(collected: Collected, *, scorer: Scorer) -> Scored:
    """Judge every mention. An article of which one mention fails scoring alone becomes a dead letter."""
    mentions: list[Mention] = []
    for entry in collected.entries:
        if isinstance(entry, Read):
            mentions += entry.tagged.mentions
    results = iter(await scorer.score(mentions) if mentions else ())

    def judge(entry: DeadLetter | Known | Read) -> DeadLetter | Known | Judged:
        if not isinstance(entry, Read):
            return entry
        own = [next(results) for _ in entry.tagged.mentions]
        return judged(entry.article, own, entry.tagged.unjudged, entry.gist)

    return Scored(batches=collected.batches, entries=tuple(judge(entry) for entry in collected.entries))


def judged(
    article: Article, results: Sequence[Score | Unscorable], unjudged: int, gist: Gist = NO_GIST
) -> Judged | DeadLetter:
    """Return an article with its scores, or, where one is missing, the dead letter it is."""
    for result in results:
        if isinstance(result, Unscorable):
            error = f"scoring failed: {result.error}"
            return DeadLetter(source=article.source, raw=article.raw, error=error, received=article.received)
    scores = tuple(result for result in results if isinstance(result, Score))
    return Judged(article=article, scores=scores, unjudged=unjudged, gist=gist)


async def rescore_step(scored: Scored, *, scorer: Scorer) -> Scored:
    """Judge again what a model has judged that has been replaced meanwhile: one model alone moves the needle."""
    entries: list[DeadLetter | Known | Judged] = []
    for entry in scored.entries:
        if isinstance(entry, Judged) and any(score.model != scorer.model for score in entry.scores):
            results = await scorer.score([score.mention for score in entry.scores])
            entries.append(judged(entry.article, results, entry.unjudged, entry.gist))
        else:
            entries.append(entry)
    return replace(scored, entries=tuple(entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a transaction did: how each item ended, in order, and what changed of the incidents."""

    settled: tuple[Settled, ...]
    folded: Folded


async def watch_step(
    scored: Scored, *, store: Store, needle: Needle, desk: Desk, clock: Clock, gathering: Gathering
) -> Watched:
    """Count new stories, decide, and leave every message in the outbox: all of it, or none.

    Whatever fails before the commit leaves the unit unacknowledged, so it comes again; the needle's new state is
    adopted only after the commit.
    """
    now = clock.now()
    async with gathering.around(store) as transaction:
        fresh, revised, settled = await _admit(scored.entries, transaction)
        signed = [bands(each.article.signature) for each in fresh]
        judgements = await _judge(fresh, {band for each in signed for band in each}, transaction, desk)
        rollups = rollups_of(judgements, {each.article.id: each.article.timeliness for each in fresh})
        articles = [each.article for each in fresh]
        gists = {each.article.id: each.gist for each in fresh}
        await transaction.add_articles(
            articles,
            signed,
            {each.article.id: each.unjudged for each in fresh if each.unjudged},
            await gathering.gather(articles, gists, judgements, transaction),
        )
        await transaction.add_versions(revised)
        await transaction.add_judgements(judgements, {each.article.id: each.scores[0].topics for each in fresh})
        await transaction.add_rollups(rollups)
        decision = needle.decide(rollups, now) if rollups else None  # without news it is for the ticks to decide
        folded = await _tell(decision, transaction, desk, now) if decision else NOTHING
        letters = [each for each in scored.entries if isinstance(each, DeadLetter) and each.source != canary.SOURCE]
        await transaction.bury(letters)
        await transaction.export(_exports(desk.exports, fresh, letters))
        await _account(scored.batches, settled, transaction)
    if decision:
        needle.adopt(decision.state)
    return Watched(settled=tuple(settled), folded=folded)


async def tick_step(tick: Tick, *, store: Store, needle: Needle, desk: Desk) -> Folded:
    """Let time pass: learn closed buckets, resolve what has calmed, raise what has fallen silent."""
    async with store.transaction() as transaction:
        await transaction.tick(tick.at)
        decision = needle.decide((), tick.at)
        folded = await _tell(decision, transaction, desk, tick.at)
    needle.adopt(decision.state)
    return folded


async def tell_step(signals: Sequence[Signal], *, store: Store, desk: Desk, clock: Clock) -> Folded:
    """Tell of signals that are not the detector's: of the canary's silence, and of its end."""
    async with store.transaction() as transaction:
        return await _fold(signals, transaction, desk, clock.now())


async def _admit(
    entries: Sequence[DeadLetter | Known | Judged], transaction: Transaction
) -> tuple[list[Judged], list[Article], list[Settled]]:
    """Tell new from known, also within the unit. Returns the new, the revisions, and how each entry ends.

    What was new, or revised, when the unit was collected may have been stored since, with the unit before it.
    """
    unsure = {
        each.article.id for each in entries if isinstance(each, Judged) or (isinstance(each, Known) and each.revised)
    }
    digests = dict(await transaction.known(unsure))
    fresh: list[Judged] = []
    revised: list[Article] = []
    settled: list[Settled] = []
    for entry in entries:
        if isinstance(entry, DeadLetter):
            settled.append(Settled(outcome=Outcome.DEAD, error=entry.error))
            continue
        article = entry.article
        if isinstance(entry, Judged) and article.source == canary.SOURCE:
            settled.append(canary.counted(article, entry.scores))
            continue
        if isinstance(entry, Judged) and article.id not in digests:
            fresh.append(entry)
            outcome = Outcome.STORED
        else:
            if digests.get(article.id, article.digest) != article.digest:
                revised.append(article)
            outcome = Outcome.DUPLICATE
        digests[article.id] = article.digest
        settled.append(Settled(outcome=outcome, article=article.id))
    return fresh, revised, settled


async def _judge(
    fresh: Sequence[Judged], near: Collection[int], transaction: Transaction, desk: Desk
) -> list[Judgement]:
    """Place each new article in a story under each of its keys; `near` are the bands of all of them."""
    if not fresh:
        return []
    book = StoryBook(await transaction.told(near))
    judgements: list[Judgement] = []
    for each in fresh:
        keys = keyed(each.scores, ancestors=desk.watchlist.ancestors, combine=desk.combine)
        places = book.place(each.article, tuple(keys))
        judgements += judgements_of(
            each.article, each.scores, keys, {key: (place.story, place.leads) for key, place in places.items()}
        )
    return judgements


async def _tell(decision: Decision, transaction: Transaction, desk: Desk, now: datetime) -> Folded:
    """Fold the signals into incidents and put what changed into the outbox."""
    if decision.changed:
        await transaction.save_state(dump(decision.state, decision.changed), STATE_VERSION)
    return await _fold(decision.signals, transaction, desk, now) if decision.signals else NOTHING


async def _fold(signals: Sequence[Signal], transaction: Transaction, desk: Desk, now: datetime) -> Folded:
    await transaction.save_signals(signals)
    incidents = await transaction.open_incidents()
    evidence = {
        wanted.key: await transaction.evidence(wanted.key, wanted.model, wanted.since, wanted.until, STORIES)
        for wanted in evidence_wanted(signals, incidents)
    }
    explained = await _explain(signals, transaction)
    folded = fold(signals, incidents, evidence, now, explained)
    telling = messages_for(folded, desk.routes, now=now, ttl=MESSAGE_LIFE)
    await transaction.save_incidents(telling.incidents)
    await transaction.post(telling.messages)
    return replace(folded, incidents=telling.incidents)


async def _explain(signals: Sequence[Signal], transaction: Transaction) -> dict[Signal, Explanation]:
    """Say what makes each surge that may give an incident its figures, by all that its window holds."""
    explained: dict[Signal, Explanation] = {}
    for signal in decisive(signals):
        if signal.first is None or signal.end is None:
            continue
        counted = counted_in(signal.window)
        parts = await transaction.parts(signal.key, signal.model, signal.first, signal.end, counted)
        ratio = 1.0
        if signal.taught is not None:
            since = signal.first - COMPARED
            ratio = weight_ratio(*await transaction.compared(signal.key, signal.model, signal.taught, since))
        explanation = explain(
            Window(parts=parts, stories=signal.stories, expected=signal.expected, flow=signal.flow, ratio=ratio)
        )
        if explanation is not None:
            explained[signal] = explanation
    return explained


def _exports(wanted: Collection[str], fresh: Sequence[Judged], letters: Sequence[DeadLetter]) -> list[Export]:
    made: list[Export] = []
    if SCORED in wanted:
        made += [scored_export(each.article, each.scores) for each in fresh]
    if DEAD_LETTERS in wanted:
        made += [dead_letter_export(each) for each in letters]
    return made


async def _account(batches: Sequence[Batch], settled: Sequence[Settled], transaction: Transaction) -> None:
    """Write the ledger and the positions: what was received is what ended, in the same transaction."""
    ends = iter(settled)
    totals: dict[SourceId, Counter[Outcome]] = {}
    for batch in batches:
        own = [next(ends).outcome for _ in batch.items]
        if batch.source != canary.SOURCE:
            totals.setdefault(batch.source, Counter()).update(own)
    for source, count in totals.items():
        await transaction.settle(
            source,
            Ledger(
                received=count.total(),
                stored=count[Outcome.STORED],
                duplicate=count[Outcome.DUPLICATE],
                dead=count[Outcome.DEAD],
                dropped=count[Outcome.DROPPED],
            ),
        )
    newest = {(batch.source, batch.position.partition): batch.position for batch in batches if batch.position}
    for position in newest.values():
        await transaction.advance(position)
