"""What every store promises, in memory and on each database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.errors import OwnershipLost, StoreError
from monitor.ports import Case, Export, Ledger, Notice, Store
from monitor.types import (
    Change,
    DeadLetter,
    EntityId,
    EventId,
    IncidentId,
    IncidentState,
    Key,
    Origin,
    Position,
    Ruling,
    Severity,
    SignalKind,
    SourceId,
    StoryId,
    TargetId,
    Timeliness,
    Verdict,
)
from tests.core.telling import incident, signal
from tests.databases import Database
from tests.samples import (
    ACME,
    DESK,
    MINUTE,
    MODEL,
    OTHER,
    T0,
    WIRE,
    article,
    gathered,
    hex_id,
    judgement,
    message,
    rollup,
)

DAY = timedelta(days=1)
FIRST, SECOND = article("first"), article("second", published=T0 + MINUTE)


async def test_an_exception_inside_a_transaction_leaves_nothing_behind(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.add_articles([FIRST], [[1]])
            await tx.add_rollups([rollup()])
            await tx.settle(WIRE, Ledger(received=1, stored=1))
            await tx.advance(Position(source=WIRE, value={"line": 1}))
            await tx.tick(T0)
            raise RuntimeError("the needle broke")

    with pytest.raises(RuntimeError, match="needle"):
        await fail()
    assert await store.known([FIRST.id]) == {}
    assert await store.rollups(T0, T0 + DAY) == []
    assert await store.ledgers() == {}
    assert await store.positions(WIRE) == []
    assert await store.last_tick() is None


async def test_what_is_not_committed_is_seen_inside_the_transaction_only(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_articles([FIRST], [[1]])
        assert await tx.known([FIRST.id]) == {FIRST.id: FIRST.digest}
        assert await store.known([FIRST.id]) == {}
    assert await store.known([FIRST.id]) == {FIRST.id: FIRST.digest}


async def test_an_article_is_known_by_the_digest_of_its_newest_version(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_articles([FIRST, SECOND], [[1, 2], [3]])
    async with store.transaction() as tx:
        await tx.add_versions([replace(FIRST, text="corrected", digest="b" * 64)])
        await tx.add_versions([replace(FIRST, text="corrected again", digest="c" * 64)])
        assert await tx.known([FIRST.id, SECOND.id, hex_id("third")]) == {
            FIRST.id: "c" * 64,
            SECOND.id: SECOND.digest,
        }


async def test_thousands_of_ids_are_looked_up_at_once(store: Store) -> None:
    many = [article(f"a{n}") for n in range(1200)]
    async with store.transaction() as tx:
        await tx.add_articles(many, [[] for _ in many])
        assert len(await tx.known([one.id for one in many])) == 1200


async def test_an_article_is_stored_once(store: Store) -> None:
    async def add() -> None:
        async with store.transaction() as tx:
            await tx.add_articles([FIRST], [[1]])

    await add()
    with pytest.raises(Exception, match=r"stored already|UNIQUE|unique"):
        await add()


async def test_near_copies_are_found_by_their_bands_with_their_story_under_each_key(store: Store) -> None:
    copy = article("copy", published=T0 - MINUTE, received=T0)
    far = article("far")
    async with store.transaction() as tx:
        await tx.add_articles([FIRST, copy, far], [[1, -(2**63)], [-(2**63), 7], [2**63 - 1]])
        await tx.add_judgements(
            [
                judgement(FIRST),
                judgement(FIRST, Key("all")),
                judgement(copy, story=StoryId(FIRST.id), leads=False),
                judgement(far),
            ],
            {},
        )
        near = await tx.told([-(2**63), 99])
        assert await tx.told([]) == []
    assert [(one.article, one.published, dict(one.stories)) for one in near] == [
        (copy.id, copy.published, {ACME: StoryId(FIRST.id)}),
        (FIRST.id, FIRST.published, {ACME: StoryId(FIRST.id), Key("all"): StoryId(FIRST.id)}),
    ]
    assert near[1].signature == FIRST.signature


async def test_a_judgement_is_new_once_for_each_article_key_and_model(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_articles([FIRST], [[1]])
        await tx.add_judgements([judgement(FIRST, negative=0.8)], {FIRST.id: {"Legal | Regulation": 0.9}})
        await tx.add_judgements([judgement(FIRST, negative=0.6), judgement(FIRST, model=OTHER, negative=0.7)], {})
        ours = await tx.evidence(ACME, MODEL, T0 - MINUTE, T0, 9)
        theirs = await tx.evidence(ACME, OTHER, T0 - MINUTE, T0, 9)
    assert [one.negative for one in ours] == [0.8]
    assert [one.negative for one in theirs] == [0.7]


async def test_rollups_add_up_with_their_publishers_and_keep_history_and_models_apart(store: Store) -> None:
    later = T0 + timedelta(minutes=5)
    async with store.transaction() as tx:
        await tx.add_rollups([rollup(bucket=later), rollup(stories=2), rollup(Key("all"), stories=5)])
        await tx.add_rollups([rollup(stories=3, publisher="other.example"), rollup(model=OTHER)])
    async with store.transaction() as tx:
        await tx.add_rollups([rollup(timeliness=Timeliness.LATE), rollup(stories=7, timeliness=Timeliness.HISTORY)])
    rows = await store.rollups(T0, later)
    assert [(row.key, row.model, row.timeliness.value, row.stories) for row in rows] == [
        ("all", MODEL, "live", 5),
        (ACME, MODEL, "live", 6),
        (ACME, MODEL, "history", 7),
        (ACME, OTHER, "live", 1),
    ]
    live = rows[1]
    assert (live.negative, live.weight, live.sum_negative, live.sum_neutral, live.sum_positive) == (6, 4.5, 4.5, 1.5, 0)
    assert live.origins == (
        Origin(publisher="news.example", source=WIRE, stories=3, negative=3),
        Origin(publisher="other.example", source=WIRE, stories=3, negative=3),
    )
    assert [row.bucket for row in await store.rollups(later, later + DAY)] == [later]


async def test_live_and_late_stories_of_one_bucket_add_up_at_once(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_rollups([rollup(stories=2), rollup(stories=3, timeliness=Timeliness.LATE)])
    (row,) = await store.rollups(T0, T0 + DAY)
    assert (row.stories, row.negative, row.weight) == (5, 5, 3.75)
    assert [(origin.stories, origin.negative) for origin in row.origins] == [(5, 5)]


async def test_a_bare_count_has_no_origins(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_rollups([rollup(origins=())])
    assert [row.origins for row in await store.rollups(T0, T0 + DAY)] == [()]


async def test_evidence_is_the_negative_stories_of_the_window_most_negative_first(store: Store) -> None:
    bad, worse, good, early, old = (
        article("bad"),
        article("worse", published=T0 - MINUTE),
        article("good"),
        article("early", published=T0 - DAY),
        article("old", timeliness=Timeliness.HISTORY),
    )
    copies = [article(f"copy{n}", publisher=f"p{n % 2}.example", published=T0 + n * MINUTE) for n in range(4)]
    async with store.transaction() as tx:
        everything = [bad, worse, good, early, old, *copies]
        await tx.add_articles(everything, [[] for _ in everything])
        await tx.add_judgements(
            [
                judgement(bad, negative=0.5),
                judgement(worse, negative=0.99),
                judgement(good, negative=0.49),
                judgement(early),
                judgement(old),
                *(judgement(copy, negative=0.9, leads=False, story=StoryId(bad.id)) for copy in copies),
                judgement(copies[0], Key("all"), leads=False, story=StoryId(worse.id)),
            ],
            {},
        )
        found = await tx.evidence(ACME, MODEL, T0 - DAY, T0, 9)
        assert await tx.evidence(ACME, MODEL, T0 - DAY, T0, 1) == found[:1]
    assert [(one.story, one.negative, one.copies, one.publishers) for one in found] == [
        (StoryId(worse.id), 0.99, 1, 1),
        (StoryId(bad.id), 0.5, 5, 3),
    ]
    assert (found[0].title, found[0].link, found[0].publisher, found[0].language, found[0].published) == (
        worse.title,
        worse.link,
        worse.publisher,
        worse.language,
        worse.published,
    )


async def test_what_a_window_holds_is_its_negative_stories_by_publisher_as_they_were_counted(store: Store) -> None:
    end = T0 + 5 * MINUTE
    inside = [article(f"in{n}", publisher=f"p{n % 2}.example", published=T0 + n * MINUTE) for n in range(5)]
    good = article("good")
    outside = [article("before", published=T0 - MINUTE), article("after", published=end)]
    old, copy = article("old", timeliness=Timeliness.HISTORY), article("copy")
    everything = [*inside, good, *outside, old, copy]
    async with store.transaction() as tx:
        await tx.add_articles(everything, [[] for _ in everything])
        await tx.add_judgements(
            [
                *(judgement(each, negative=0.5 + n / 10) for n, each in enumerate(inside)),
                judgement(good, negative=0.49),
                *(judgement(each) for each in (*outside, old)),
                judgement(copy, leads=False, story=StoryId(inside[0].id)),
                judgement(inside[0], Key("all")),
                judgement(inside[0], model=OTHER),
            ],
            {},
        )
        found = await tx.parts(ACME, MODEL, T0, end, [Timeliness.LIVE, Timeliness.LATE])
        assert await tx.parts(ACME, MODEL, T0 - DAY, T0 - MINUTE, [Timeliness.LIVE]) == []
    assert [(part.publisher, part.event, part.stories) for part in found] == [
        ("p0.example", None, 3),
        ("p1.example", None, 2),
    ]
    assert [part.weight for part in found] == pytest.approx([2.1, 1.4])


async def test_stories_come_back_with_their_events(store: Store) -> None:
    first, second, copy, silent, early = (article(name) for name in ("first", "second", "copy", "silent", "early"))
    second = replace(second, received=T0 + MINUTE)
    early = replace(early, published=T0 - DAY, received=T0 - DAY)
    event = EventId(first.id)
    placed = [
        gathered(early, EventId(early.id)),
        gathered(first, event, companies=("acme", "acme-group")),
        gathered(second, event, companies=("acme",)),
        gathered(silent, EventId(silent.id), gist=b""),
    ]
    everything = [first, second, copy, silent, early]
    async with store.transaction() as tx:
        await tx.add_articles(everything, [[] for _ in everything], None, placed)
        await tx.add_judgements(
            [
                judgement(first, entity=EntityId("acme")),
                judgement(first, Key("entity:acme-group"), entity=EntityId("acme-group")),
                judgement(second, entity=EntityId("acme")),
                judgement(second, entity=EntityId("acme"), model=OTHER),
                judgement(copy, leads=False, story=StoryId(first.id)),
                judgement(silent),
            ],
            {},
        )
    async with store.transaction() as tx:
        assert await tx.gathered(T0) == placed[1:3]
        assert (await tx.gathered(T0 - DAY))[0] == placed[0]
        found = await tx.evidence(ACME, MODEL, T0 - DAY, T0, 9)
        assert {one.story: one.event for one in found} == {
            StoryId(first.id): event,
            StoryId(second.id): event,
            StoryId(silent.id): EventId(silent.id),
        }
        parts = await tx.parts(ACME, MODEL, T0, T0 + MINUTE, [Timeliness.LIVE])
        assert {part.event: part.stories for part in parts} == {event: 2, EventId(silent.id): 1}


async def test_two_models_are_compared_by_the_stories_that_both_have_judged(store: Store) -> None:
    both = [article(f"both{n}") for n in range(3)]
    early, ours, theirs = article("early", published=T0 - DAY), article("ours"), article("theirs")
    everything = [*both, early, ours, theirs]
    async with store.transaction() as tx:
        await tx.add_articles(everything, [[] for _ in everything])
        await tx.add_judgements(
            [
                *(judgement(each, negative=0.9) for each in (*both, early, ours)),
                *(judgement(each, negative=0.4 + n / 10, model=OTHER) for n, each in enumerate(both)),
                *(judgement(each, model=OTHER) for each in (early, theirs)),
            ],
            {},
        )
        assert await tx.compared(ACME, MODEL, OTHER, T0) == pytest.approx((2.7, 1.1))
        assert await tx.compared(Key("all"), MODEL, OTHER, T0) == (0.0, 0.0)


async def test_incidents_are_replaced_whole_and_open_ones_are_found_oldest_first(store: Store) -> None:
    one, two = (
        incident("entity:acme", "all", id=IncidentId("a" * 32)),
        incident("topic:Legal", id=IncidentId("b" * 32), opened=T0 - DAY, late=True, told=frozenset({DESK})),
    )
    async with store.transaction() as tx:
        await tx.save_signals([signal("entity:acme"), signal("all", SignalKind.BLIND)])
        await tx.save_incidents([one, two])
        assert await tx.open_incidents() == [two, one]
    calm = replace(one, state=IncidentState.RESOLVED, resolved=T0 + DAY, active=frozenset(), revision=2)
    joined = replace(two, keys=(*two.keys, Key("all")), state=IncidentState.ACKNOWLEDGED, revision=2)
    async with store.transaction() as tx:
        await tx.save_incidents([calm, joined])
        assert await tx.open_incidents() == [joined]


async def test_the_desk_may_say_the_same_twice(store: Store) -> None:
    one = Verdict(incident=IncidentId("a" * 32), ruling=Ruling.FALSE, article=FIRST.id, by="Ann", at=T0)
    async with store.transaction() as tx:
        await tx.add_verdict(one)
        await tx.add_verdict(one)


async def test_a_message_waits_in_the_outbox_until_it_is_delivered(store: Store) -> None:
    first = message(incident("all"))
    async with store.transaction() as tx:
        await tx.post([first, replace(first, target=TargetId("log"))])
    assert await store.pending(DESK, T0 - MINUTE, 9) == []
    assert [(one.message, one.attempts) for one in await store.pending(DESK, T0, 9)] == [(first, 0)]
    async with store.transaction() as tx:
        await tx.attempt(first.key, DESK)
    assert [one.attempts for one in await store.pending(DESK, T0, 9)] == [1]
    async with store.transaction() as tx:
        await tx.retry(first.key, DESK, T0 + MINUTE, "timeout")
    assert await store.pending(DESK, T0, 9) == []
    assert [one.attempts for one in await store.pending(DESK, T0 + MINUTE, 9)] == [1]
    async with store.transaction() as tx:
        await tx.delivered(first.key, DESK, T0 + MINUTE)
    assert await store.pending(DESK, T0 + DAY, 9) == []
    assert [one.message.target for one in await store.pending(TargetId("log"), T0, 9)] == ["log"]


async def test_a_message_that_was_posted_before_is_left_as_it_is(store: Store) -> None:
    first = message(incident("all"))
    async with store.transaction() as tx:
        await tx.post([first])
        await tx.delivered(first.key, DESK, T0)
    async with store.transaction() as tx:
        await tx.post([replace(first, created=T0 + MINUTE)])
    assert await store.pending(DESK, T0 + DAY, 9) == []


async def test_what_has_ended_in_the_outbox_stays_ended(store: Store) -> None:
    first = message(incident("all"))
    async with store.transaction() as tx:
        await tx.post([first])
        await tx.reject(first.key, DESK, T0, "expired")
        await tx.retry(first.key, DESK, T0, "timeout")
    assert await store.pending(DESK, T0 + DAY, 9) == []


async def test_the_outbox_gives_one_message_for_each_incident_oldest_first(store: Store) -> None:
    one, two = incident("all", id=IncidentId("a" * 32)), incident("entity:acme", id=IncidentId("b" * 32))
    opened, resolved = message(one), message(one, Change.RESOLVED, created=T0 + MINUTE)
    other = message(two, created=T0 - MINUTE)
    async with store.transaction() as tx:
        await tx.post([resolved, opened, other])
    assert [each.message for each in await store.pending(DESK, T0 + DAY, 9)] == [other, opened]
    assert [each.message for each in await store.pending(DESK, T0 + DAY, 1)] == [other]
    async with store.transaction() as tx:
        await tx.retry(opened.key, DESK, T0 + 2 * DAY, "timeout")
    assert [each.message for each in await store.pending(DESK, T0 + DAY, 9)] == [other]
    async with store.transaction() as tx:
        await tx.reject(opened.key, DESK, T0 + DAY, "gone")
    assert [each.message for each in await store.pending(DESK, T0 + DAY, 9)] == [other, resolved]


async def test_what_a_target_was_told_of_an_incident_comes_back_with_the_incident_as_it_is_now(store: Store) -> None:
    one = incident("entity:acme", severity=Severity.LOW, told=frozenset({DESK}))
    opened = message(one)
    worse = replace(one, severity=Severity.HIGH, revision=2)
    raised = replace(message(worse, Change.RAISED, created=T0 + MINUTE), key=f"{one.id}.raised-high")
    async with store.transaction() as tx:
        await tx.save_incidents([worse])
        await tx.post([raised, opened, message(one, target=TargetId("log"))])
        await tx.delivered(opened.key, DESK, T0 + MINUTE / 2)
    first = Notice(change=Change.OPENED, severity=Severity.LOW, created=T0, ended=T0 + MINUTE / 2)
    second = Notice(change=Change.RAISED, severity=Severity.HIGH, created=T0 + MINUTE, ended=None)
    case = Case(incident=worse, notices=(first, second))
    assert await store.case(DESK, one.id) == case
    assert await store.cases(DESK, T0 + DAY) == [case]
    assert await store.case(TargetId("pager"), one.id) is None
    assert await store.cases(TargetId("pager"), T0) == []


async def test_an_incident_that_is_over_is_a_case_while_its_messages_stir(store: Store) -> None:
    over = incident("entity:acme", state=IncidentState.RESOLVED, resolved=T0 + MINUTE)
    lasting = incident("entity:bolt", id=IncidentId("f" * 32), opened=T0 - MINUTE)
    told, last = message(over), message(over, Change.RESOLVED, created=T0 + MINUTE)
    async with store.transaction() as tx:
        await tx.save_incidents([over, lasting])
        await tx.post([told, message(lasting)])
        await tx.delivered(told.key, DESK, T0)
        await tx.delivered(f"{lasting.id}.opened", DESK, T0)
    assert [each.incident for each in await store.cases(DESK, T0)] == [lasting, over]
    assert [each.incident for each in await store.cases(DESK, T0 + MINUTE)] == [lasting]
    async with store.transaction() as tx:
        await tx.post([last])
    assert [each.incident for each in await store.cases(DESK, T0 + DAY)] == [lasting, over]
    async with store.transaction() as tx:
        await tx.reject(last.key, DESK, T0 + DAY, "expired")
    assert [each.incident for each in await store.cases(DESK, T0 + DAY)] == [lasting, over]
    assert [each.incident for each in await store.cases(DESK, T0 + DAY + MINUTE)] == [lasting]


async def test_what_waits_for_a_target_that_went_is_told_and_given_up_in_its_time(store: Store) -> None:
    first, gone = message(incident("all")), TargetId("gone")
    async with store.transaction() as tx:
        await tx.post([first, replace(first, target=gone)])
        assert await tx.expire([DESK], T0) == {}
    assert await store.stranded([DESK, gone]) == {}
    assert await store.stranded([DESK]) == {gone: 1}
    assert await store.stranded([]) == {DESK: 1, gone: 1}
    async with store.transaction() as tx:
        assert await tx.expire([DESK], first.expires) == {gone: 1}
    assert await store.stranded([]) == {DESK: 1}
    assert await store.pending(gone, T0 + DAY, 9) == []


async def test_changes_of_one_moment_are_told_in_the_order_in_which_they_were_made(store: Store) -> None:
    one = incident("all")
    changes = [
        message(replace(one, revision=revision), change)
        for revision, change in enumerate([Change.RESOLVED, Change.OPENED, Change.RAISED])
    ]
    async with store.transaction() as tx:
        await tx.post(changes[::-1])
    for each in changes:
        assert [due.message for due in await store.pending(DESK, T0, 9)] == [each]
        async with store.transaction() as tx:
            await tx.delivered(each.key, DESK, T0)


async def test_positions_are_kept_by_source_and_partition(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.advance(Position(source=WIRE, partition="1", value={"offset": 5}))
        await tx.advance(Position(source=WIRE, partition="0", value={"offset": 3, "none": None}))
        await tx.advance(Position(source=SourceId("other"), value={"etag": "x"}))
    async with store.transaction() as tx:
        await tx.advance(Position(source=WIRE, partition="1", value={"offset": 6}))
    assert await store.positions(WIRE) == [
        Position(source=WIRE, partition="0", value={"offset": 3, "none": None}),
        Position(source=WIRE, partition="1", value={"offset": 6}),
    ]


async def test_the_ledger_adds_up(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.settle(WIRE, Ledger(received=5, stored=3, duplicate=1))
        await tx.settle(SourceId("other"), Ledger(received=1, dropped=1))
    async with store.transaction() as tx:
        await tx.settle(WIRE, Ledger(received=2, dead=2))
    ledgers = await store.ledgers()
    assert ledgers[WIRE] == Ledger(received=7, stored=3, duplicate=1, dead=2, dropped=0)
    assert ledgers[WIRE].in_flight == 1
    assert ledgers[SourceId("other")].in_flight == 0


async def test_the_detectors_state_comes_back_as_it_was_saved(store: Store) -> None:
    assert await store.load_state() == ({}, None)
    async with store.transaction() as tx:
        await tx.save_state({"budget": {"level": 1e-300}, "key:all": [1, 2.5, None]}, 1)
        await tx.save_state({"key:all": "replaced"}, 1)
    assert await store.load_state() == ({"budget": {"level": 1e-300}, "key:all": "replaced"}, 1)


async def test_two_formats_of_the_detectors_state_never_mix(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.save_state({"old": 1, "both": 1}, 1)
    async with store.transaction() as tx:
        await tx.save_state({"both": 2}, 2)
    assert await store.load_state() == ({"both": 2}, 2)


async def test_ticks_are_kept_and_the_newest_is_found(store: Store) -> None:
    for at in (T0, T0 + MINUTE, T0):
        async with store.transaction() as tx:
            await tx.tick(at)
    assert await store.last_tick() == T0 + MINUTE


async def test_dead_letters_keep_any_bytes(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.bury([DeadLetter(source=WIRE, raw=b"\xff\x00<rss", error="not a feed", received=T0)])


async def test_nothing_at_all_may_be_stored(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_articles([], [])
        await tx.add_versions([])
        await tx.add_judgements([], {})
        await tx.add_rollups([])
        await tx.save_signals([])
        await tx.save_incidents([])
        await tx.post([])
        await tx.bury([])
        assert await tx.known([]) == {}


async def test_a_second_process_is_refused_while_the_first_one_lives(shared: Database) -> None:
    first, second = await shared.open(), await shared.open()
    assert (await first.own("all")).epoch == 1
    with pytest.raises(StoreError, match="process"):
        await second.own("all")
    await first.close()
    assert (await second.own("all")).epoch == 2


async def test_an_owner_that_was_replaced_commits_nothing_more(shared: Database) -> None:
    first, second = await shared.open(), await shared.open()
    await first.own("all")
    await shared.break_lock(first)
    await second.own("all")
    with pytest.raises(OwnershipLost, match="taken over"):
        async with first.transaction() as tx:
            await tx.tick(T0)
    assert await second.last_tick() is None
    async with second.transaction() as tx:
        await tx.tick(T0)
    assert await second.last_tick() == T0


async def test_a_store_may_be_closed_twice(store: Store) -> None:
    await store.own("all")
    await store.close()
    await store.close()


async def test_exports_wait_in_order_until_they_are_written(store: Store) -> None:
    async with store.transaction() as transaction:
        await transaction.export(
            [Export(kind="scored", key=f"k{n}", value={"n": n, "text": "艾克米"}) for n in range(3)]
        )
    first = await store.exports(2)
    assert [each.export.value["n"] for each in first] == [0, 1]
    async with store.transaction() as transaction:
        await transaction.exported(first[-1].number)
        await transaction.export([Export(kind="dead_letters", key="k3", value={"n": 3})])
    rest = await store.exports(9)
    assert [(each.export.kind, each.export.key) for each in rest] == [("scored", "k2"), ("dead_letters", "k3")]
    async with store.transaction() as transaction:
        await transaction.exported(rest[-1].number)
        await transaction.export([Export(kind="scored", key="k4", value={})])
    [last] = await store.exports(9)
    assert last.number > rest[-1].number, "a number is never given twice"
