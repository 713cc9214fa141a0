from datetime import timedelta

from monitor.core.detect.detector import Rules, load
from monitor.core.detect.levels import levels
from monitor.core.detect.seed import seed
from monitor.types import Key, SignalKind

from .conftest import Desk

ACME, BOLT, WIRE = Key("entity:acme"), Key("entity:bolt"), Key("source:wire")


def after(desk: Desk, gap: timedelta) -> Desk:
    """Return the desk of a daemon that was seeded by what this one has learned, and starts a while later."""
    seeded = Desk(Rules())
    seeded.state = load(Rules(), seed(desk.state), ())
    seeded.now = desk.now + gap
    seeded.tell(())
    return seeded


def test_a_seeded_desk_knows_what_is_normal_and_has_told_nothing(desk: Desk) -> None:
    desk.calm(8)
    desk.story("source:wire", negative=0, other=1)
    desk.surge(12)
    assert desk.kinds() == [SignalKind.SURGE] * len(desk.signals)
    seeded = after(desk, timedelta(days=2))
    assert seeded.signals == []
    shown = {level.key: level for level in levels(seeded.state, seeded.now)}
    assert {ACME, BOLT} <= shown.keys()
    assert WIRE not in shown
    assert not shown[ACME].surging
    assert shown[BOLT].learning_since is None
    expected = next(level for level in levels(desk.state, desk.now) if level.key == BOLT).windows[-1].expected
    assert 0.5 * expected < shown[BOLT].windows[-1].expected < 1.5 * expected


def test_a_seeded_desk_fires_from_its_first_hour_on(desk: Desk) -> None:
    desk.calm(8)
    seeded, unseeded = after(desk, timedelta(days=2)), Desk(Rules())
    assert [signal.kind for signal in seeded.surge(12, str(BOLT))][:1] == [SignalKind.SURGE]
    assert unseeded.surge(12, str(BOLT)) == []


def test_the_silence_of_the_archives_end_is_nobodys(desk: Desk) -> None:
    desk.calm(8)
    seeded = after(desk, timedelta(days=30))
    assert seeded.wait(timedelta(days=1)) == []
