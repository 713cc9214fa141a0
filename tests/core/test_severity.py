from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.severity import grade, severity_of
from monitor.types import Severity, SignalKind
from tests.core.telling import signal

years = st.floats(0, 1e12)
counts = st.integers(0, 500)
probabilities = st.floats(0, 1)


measures = st.tuples(years, counts, counts, probabilities)


@given(measures, measures)
def test_rarer_wider_or_more_negative_is_never_less_severe(
    one: tuple[float, int, int, float], other: tuple[float, int, int, float]
) -> None:
    less = grade(min(one[0], other[0]), min(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    more = grade(max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))
    assert less.rank <= more.rank


def test_every_severity_can_be_reached() -> None:
    assert grade(2, 3, 3, 0.7) is Severity.LOW
    assert grade(20, 6, 3, 0.7) is Severity.MEDIUM
    assert grade(2_000, 8, 6, 0.8) is Severity.HIGH
    assert grade(float("inf"), 40, 20, 0.95) is Severity.CRITICAL


def test_a_chance_of_zero_is_the_rarest_of_all() -> None:
    assert (
        severity_of(signal("entity:acme", chance=0.0, negative=20, observed=19.0, publishers=12)) is Severity.CRITICAL
    )


def test_a_silence_is_low_or_medium() -> None:
    def silence(chance: float) -> Severity:
        return severity_of(
            signal("source:wire", SignalKind.BLIND, chance=chance, observed=0.0, negative=0, publishers=0)
        )

    assert (silence(1e-4), silence(0.0)) == (Severity.LOW, Severity.MEDIUM)
