from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import ConfigurationError
from trainer.config import FileRecipe, FitRecipe, HeadRecipe, Recipe, read_recipe, recipe_for
from trainer.data import DEV, LONGEST, TRAIN, VALID, Data, agreeing, load, places, require_rows

Write = Callable[..., Path]
SIGNS = HeadRecipe(labels=("negative", "neutral", "positive"))


def recipe(file: Path | str, dev: float = 0.0, **other: Any) -> Recipe:
    columns = FileRecipe.model_validate({"file": str(file), "heads": {"sentiment": "label", "topic": "topic"}, **other})
    topics = HeadRecipe(labels=("strike", "dividend"))
    return Recipe(heads={"sentiment": SIGNS, "topic": topics}, data=(columns,), fit=FitRecipe(dev=dev))


def read(file: Path, dev: float = 0.0, **other: str) -> Data:
    return load(recipe(file, dev, **other), Path())[0]


def test_a_row_without_a_label_for_a_head_does_not_train_it(write_rows: Write) -> None:
    file = write_rows(
        {"text": "Acme falls", "label": "negative"}, {"text": "Acme: strike", "label": None, "topic": "strike"}
    )
    assert [dict(row.labels) for row in read(file).rows] == [{"sentiment": ("negative",)}, {"topic": ("strike",)}]


def test_csv_and_gzip_are_read_alike(write_rows: Write, tmp_path: Path) -> None:
    table = write_rows("text,label,entity", '"Acme, \nat last, falls",negative,acme', name="rows.csv")
    packed = tmp_path / "rows.jsonl.gz"
    row = {"text": "Acme, \nat last, falls", "label": "negative", "entity": "acme"}
    packed.write_bytes(gzip.compress(json.dumps(row).encode()))
    (one,), (other,) = read(table).rows, read(packed).rows
    assert (
        (one.text, one.spans, one.labels)
        == (other.text, other.spans, other.labels)
        == (
            "Acme, \nat last, falls",
            ((0, 4),),
            {"sentiment": ("negative",)},
        )
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{cut", "rows.jsonl:2: row: found '{cut', expected a JSON object"),
        ({"text": "", "label": "neutral"}, "rows.jsonl:2: text: found '', expected a text that is not empty"),
        ({"text": 7, "label": "neutral"}, "text: found 7"),
        ({"text": "Acme", "label": "bad"}, "label: found 'bad', expected one of negative, neutral, positive"),
        ({"text": "Acme", "label": ["negative"]}, "label: found ['negative']"),
        ({"text": "Acme"}, "label, topic: found None, expected a label"),
        (
            {"text": "Acme", "label": "neutral", "entity": "Zenith"},
            "entity: found 'Zenith', expected a name that stands",
        ),
        ({"text": "Acme", "label": "neutral", "entity": ["Acme"]}, "entity: found ['Acme'], expected a company's name"),
        ({"text": "Acme", "label": "neutral", "split": "test"}, "split: found 'test', expected train, dev or valid"),
        ({"text": "Acme", "label": "neutral", "w": "much"}, "w: found 'much', expected a number of at least 0"),
        ({"text": "Acme", "label": {"negative": 0.5}}, "expected probabilities of negative, neutral, positive"),
        ({"text": "Acme", "label": {"bad": 1.0}}, "expected probabilities of negative, neutral, positive"),
        ({"text": "Acme", "label": {"negative": "all"}}, "expected probabilities of negative, neutral, positive"),
        ({"text": "Acme", "label": "neutral", "at": [[2, 9]]}, "at: found [[2, 9]], expected pairs of [start, end)"),
        ({"text": "Acme", "label": "neutral", "at": [[0, 3], [2, 4]]}, "within the text that do not overlap"),
        ({"text": "Acme", "label": "neutral", "at": 7}, "at: found 7, expected pairs"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_column(write_rows: Write, row: object, message: str) -> None:
    fine = {"text": "fine", "label": "neutral", "w": 1, "at": None}
    file = write_rows(fine, row, {"text": "fine too", "label": "neutral"})
    with pytest.raises(ConfigurationError) as caught:
        read(file, weight="w", spans="at")
    assert message in str(caught.value)
    data, problems = load(recipe(file, weight="w", spans="at"), Path(), skip_bad=True)
    assert [row.text for row in data.rows] == ["fine", "fine too"]
    assert [problem.line for problem in problems] == [2]


def test_a_missing_or_undecodable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "\xe9"}')
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 1000)[:20])
    for name in ("none.jsonl", "latin.jsonl", "cut.jsonl.gz"):
        with pytest.raises(ConfigurationError, match=name):
            read(tmp_path / name)


def test_a_table_that_is_none_and_damaged_bytes_are_named(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text("text,label\nfine,neutral\n" + "x" * (LONGEST + 1) + ",neutral\n")
    packed = bytearray(gzip.compress(b'{"text": "fine", "label": "neutral"}' * 50))
    packed[20] ^= 0xFF
    (tmp_path / "damaged.jsonl.gz").write_bytes(packed)
    for name in (r"wide.csv:3: not CSV: field larger", r"damaged.jsonl.gz: cannot read it"):
        with pytest.raises(ConfigurationError, match=name):
            read(tmp_path / name.split(":")[0])


def test_a_line_ends_where_json_says(write_rows: Write) -> None:
    file = write_rows('{"text": "Acme\u2028falls\x85", "label": "negative"}', "[" * 100_000)
    with pytest.raises(ConfigurationError, match=r"^1 bad rows:\n.*rows.jsonl:2: row"):
        read(file)


def test_a_row_says_where_its_company_stands(write_rows: Write) -> None:
    file = write_rows({"text": "AB falls; Acme too", "entity": "acme", "label": "negative", "at": [[10, 14], [0, 2]]})
    (row,) = read(file, spans="at").rows
    assert (row.entity, row.spans) == ("acme", ((0, 2), (10, 14)))


def test_a_label_may_be_a_teacher_s_probabilities(write_rows: Write) -> None:
    file = write_rows({"text": "Acme falls", "label": {"negative": 0.7, "neutral": 0.3}, "topic": "strike"})
    (row,) = read(file).rows
    assert row.labels == {"sentiment": ("negative",), "topic": ("strike",)}
    assert row.wanted("sentiment", SIGNS.labels) == [0.7, 0.3, 0.0]
    assert row.wanted("topic", ("strike", "dividend")) == [1.0, 0.0]


def test_what_nothing_teaches_is_told_before_a_fit(write_rows: Write) -> None:
    held_out = read(write_rows({"text": "Acme falls", "label": "negative", "split": "valid"}))
    with pytest.raises(ConfigurationError, match="found no training rows"):
        require_rows(held_out)
    without_topic = read(write_rows({"text": "Acme falls", "label": "negative"}))
    with pytest.raises(ConfigurationError, match=r"heads\.topic: found no training row"):
        require_rows(without_topic)


def test_near_copies_never_part(write_rows: Write) -> None:
    copies = [{"text": f"Acme falls {n}% https://t.co/{n}", "label": "negative"} for n in range(20)]
    file = write_rows(
        *copies, *({"text": f"{'abcdefgh'[n % 8]} {'ijklmnop'[n // 8]}", "label": "neutral"} for n in range(60))
    )
    data = read(file, dev=0.3)
    assert len(data.part(TRAIN)) + len(data.part(DEV)) == 80
    assert data.part(DEV)
    assert not {row.group for row in data.part(TRAIN)} & {row.group for row in data.part(DEV)}


def test_a_copy_of_a_held_out_row_is_not_trained_on(write_rows: Write) -> None:
    file = write_rows(
        {"text": "Acme falls 3%", "label": "negative", "split": "valid"},
        {"text": "ACME FALLS 5% https://t.co/1", "label": "negative", "split": "train"},
        {"text": "Borealis rises", "label": "positive", "split": "train"},
    )
    data = read(file)
    assert [row.text for row in data.part(TRAIN)] == ["Borealis rises"]
    assert len(data.part(VALID)) == 1


def test_an_edited_copy_stays_with_its_original(write_rows: Write) -> None:
    first = "Randal Quarles, the former vice chair for supervision, says the bank should have started hiking earlier"
    file = write_rows(
        {"text": f"{first} https://t.co/1", "label": "neutral", "split": "valid"},
        {"text": f"{first} https://t.co/2 #rates", "label": "neutral"},
        {"text": f"WATCH: {first} - Reuters", "label": "neutral"},
        {"text": "Borealis rises", "label": "positive"},
    )
    data = read(file)
    assert [row.text for row in data.part(TRAIN)] == ["Borealis rises"]
    assert [(leak.line, copied.line, copied.split) for leak, copied in data.leaks] == [(2, 1, VALID), (3, 1, VALID)]


def test_who_names_the_groups_decides_them(write_rows: Write) -> None:
    file = write_rows(
        {"text": "Acme falls", "label": "negative", "group": "a", "split": "valid"},
        {"text": "Acme falls", "label": "negative", "group": "b"},
        {"text": "Bolt rises", "label": "positive", "group": "a"},
    )
    assert [row.line for row in read(file).part(TRAIN)] == [2]


def test_with_times_the_latest_rows_are_set_apart(write_rows: Write) -> None:
    words = "abcdefghij"
    rows = [
        {"text": f"{one}{other}", "label": "neutral", "at": f"2026-01-{9 - n:02}T0{m}:00:00Z"}
        for n, one in enumerate(words[:8])
        for m, other in enumerate(words)
    ]
    data = read(write_rows(*rows), dev=0.2, time="at")
    dev, train = ([row.time for row in data.part(split) if row.time] for split in (DEV, TRAIN))
    assert (len(dev), len(train)) == (16, 64)
    assert min(dev) > max(train)


def test_a_time_that_is_none_is_named(write_rows: Write) -> None:
    with pytest.raises(ConfigurationError, match="at: found 'today', expected a time in ISO 8601"):
        read(write_rows({"text": "Acme falls", "label": "negative", "at": "today"}), time="at")


def tags(file: Path) -> Data:
    return load(recipe_for(None, [file], {"tags": "tags:multi"}, {}), Path())[0]


def test_a_cell_may_hold_several_labels(write_rows: Write) -> None:
    table = write_rows("text,tags", "Acme falls,fraud | lawsuit", "Bolt rises,fraud", "Bolt,|", "Cog,", name="t.csv")
    with pytest.raises(ConfigurationError, match=r"t.csv:5: tags: found None, expected a label"):
        tags(table)
    lines = write_rows(
        {"text": "Acme falls", "tags": ["fraud", "lawsuit"]},
        {"text": "Bolt rises", "tags": "fraud"},
        {"text": "Bolt", "tags": []},
        name="t.jsonl",
    )
    packed = write_rows(*table.read_text().split("\n")[:4], name="u.csv")
    found = [[row.labels["tags"] for row in tags(file).rows] for file in (packed, lines)]
    assert found[0] == found[1] == [("fraud", "lawsuit"), ("fraud",), ()]
    assert tags(lines).rows[2].wanted("tags", ("fraud", "lawsuit")) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": "headline"}, "no row has the column 'headline'; found text, label"),
        ({"weight": "w"}, "no row has the column 'w'; found text, label"),
        ({"heads": {"sentiment": "labels"}}, "no row has the column 'labels'; found text, label"),
    ],
)
def test_a_column_that_no_row_has_is_named(write_rows: Write, columns: dict[str, Any], message: str) -> None:
    file = write_rows({"text": "Acme falls", "label": "negative"})
    with pytest.raises(ConfigurationError, match=message):
        load(recipe(file, **columns), Path(), skip_bad=True)


def test_a_head_whose_column_no_row_has_is_named_with_it(write_rows: Write) -> None:
    file = write_rows({"text": "Acme falls", "label": "negative"}, {"text": "Bolt rises", "label": "positive"})
    asked = recipe_for(None, [file], {"sentiment": "label", "topic": "topics"}, {})
    with pytest.raises(
        ConfigurationError, match=r"heads.topic: found the labels \[\] in the column 'topics' of .*rows.jsonl"
    ):
        load(asked, Path())


def test_names_are_whole_words_where_they_can_be() -> None:
    assert places("She says Shell fell; SHE left", "she") == ((0, 3), (21, 24))
    assert places("艾克米银行大跌", "艾克米") == ((0, 3),)


def test_companies_of_one_text_agree_or_not(write_rows: Write) -> None:
    file = write_rows(
        {"text": "Acme and Borealis rise", "entity": "Acme", "label": "positive"},
        {"text": "Acme and Borealis rise", "entity": "Borealis", "label": "positive"},
        {"text": "Acme up, Borealis down", "entity": "Acme", "label": "positive"},
        {"text": "Acme up, Borealis down", "entity": "Borealis", "label": "negative"},
    )
    assert agreeing(read(file).rows) == [True, True, False, False]


def test_the_shipped_recipe_is_read(tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "trainer" / "recipes" / "default.toml"
    assert read_recipe(shipped).heads["sentiment"].labels == SIGNS.labels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[data", "not TOML"),
        ("heads = {}\ndata = []", "data"),
        ('[heads.a]\n[[data]]\nfile = "x"\nheads = { b = "c" }', "'b' is no head; expected one of a"),
        ('[heads.a]\n[fit]\nrate = -1\n[[data]]\nfile = "x"\nheads = { a = "c" }', "fit.rate"),
    ],
)
def test_a_bad_recipe_is_told_by_file_and_key(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_recipe(tmp_path / "r.toml")
    assert "r.toml" in str(caught.value)


def test_event_frames_are_rows_like_those_of_a_file() -> None:
    file = FileRecipe(file="builtin:frames", draws=2, heads={"sentiment": "sentiment", "topic": "topic"}, group="group")
    heads = {"sentiment": SIGNS, "topic": HeadRecipe()}
    asked = Recipe(heads=heads, data=(file,), fit=FitRecipe(dev=0.2))
    data, _ = load(asked, Path())
    assert {row.extra["language"] for row in data.rows} == {"en", "zh"}
    assert {row.group for row in data.part(DEV)}.isdisjoint({row.group for row in data.part(TRAIN)})
    assert any(row.entity and row.text[slice(*row.spans[0])] == row.entity for row in data.rows)
    assert load(asked, Path())[0] == data
    with pytest.raises(ConfigurationError, match=r"sentiment: found .*, expected one of up, down"):
        load(asked.model_copy(update={"heads": {"sentiment": HeadRecipe(labels=("up", "down"))}}), Path())
