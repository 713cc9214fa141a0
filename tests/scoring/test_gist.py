from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.events import GIST, EventBook
from monitor.errors import ArtefactError
from monitor.scoring import gist
from monitor.scoring.gist import open_gists
from tests.samples import T0, hex_id

TAGGER = Tagger(
    Watchlist.parse_toml('[[company]]\nid = "corvane"\nnames = ["Corvane Motors", "Corvane", "科万汽车"]\n', "w.toml")
)
RECALL = (
    "Corvane Motors recalls 340,000 cars over faulty brakes",
    "Brake defect forces Corvane to call back 340,000 vehicles",
    "科万汽车因刹车缺陷召回34万辆汽车",
)
CHIEF = (
    "Corvane Motors chief executive Lindqvist steps down",
    "Lindqvist quits as Corvane CEO after four years",
    "科万汽车首席执行官林德奎斯特辞职",
)
QUAKE = (
    "Earthquake of magnitude 7.8 strikes northern Chile",
    "Strong earthquake of 7.8 magnitude hits Chile's north",
)


def events_of(titles: Sequence[str]) -> list[int]:
    """Return for each title the place of the one that names its event."""
    book, ids = EventBook(), [hex_id(title) for title in titles]
    events: list[int] = []
    for title, id_ in zip(titles, ids, strict=True):
        found = TAGGER.find(title)
        (told,) = open_gists().of([(title, [span for one in found for span in one.spans])])
        placed = book.place(id_, received=T0, gist=told, companies={one.company.id for one in found})
        events.append([str(each) for each in ids].index(placed.event))
    return events


def test_one_happening_in_other_words_and_in_chinese_is_one_event_and_another_that_day_is_another() -> None:
    assert events_of([RECALL[0], CHIEF[0], *RECALL[1:], *CHIEF[1:]]) == [0, 1, 0, 0, 1, 1]


def test_happenings_that_concern_no_watched_company_are_told_apart_too() -> None:
    assert events_of([QUAKE[0], "Fed raises rates by half a point, signals more to come", QUAKE[1]]) == [0, 1, 0]


def test_a_companys_name_says_nothing_of_what_happened() -> None:
    named, unnamed = open_gists().of([("Corvane Motors recalls cars", [(0, 14)]), ("recalls cars", [])])
    assert named == unnamed != open_gists().of([("Corvane Motors recalls cars", [])])[0]


def test_a_gist_is_of_the_beginning_and_small() -> None:
    lead = "Brake defect forces recall of cars. " * 20
    (short, long) = open_gists().of([(lead, []), (lead + "The weather was fine. " * 50, [])])
    assert short == long
    assert len(short) == GIST


@pytest.mark.parametrize("text", ["", "   ", "Corvane"])
def test_a_text_that_is_only_a_name_has_no_gist(text: str) -> None:
    assert open_gists().of([(text, [(0, len(text))])]) == [b""]


@pytest.mark.parametrize("damage", [b"", b"not a table", None])
def test_a_damaged_table_is_refused(damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "tokens.safetensors"
    if damage is None:
        save_file({"tokens": np.ones((5, GIST), np.int8), "scales": np.ones(5, np.float32)}, table)
    else:
        table.write_bytes(damage)
    monkeypatch.setattr(gist, "TABLE", table)
    with pytest.raises(ArtefactError, match=r"tokens\.safetensors"):
        open_gists.__wrapped__()
