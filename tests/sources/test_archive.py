from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.ports import Batch
from monitor.sources import lines
from monitor.sources.archive import CHUNK, ArchiveSource
from monitor.types import DeadLetter, Position, RawItem, SourceId
from tests.sources.world import NOON, LeapingClock

OLD = SourceId("old")


def archive(path: Path, **options: object) -> ArchiveSource:
    return ArchiveSource(OLD, path, clock=LeapingClock(), **options)  # type: ignore[arg-type]  # each test's own


async def batches(path: Path, resume: Sequence[Position] = (), **options: object) -> list[Batch]:
    return [batch async for batch in archive(path, **options).batches(resume)]


async def items(path: Path, resume: Sequence[Position] = (), **options: object) -> list[RawItem | DeadLetter]:
    return [item for batch in await batches(path, resume, **options) for item in batch.items]


async def titles(path: Path, resume: Sequence[Position] = (), **options: object) -> list[str]:
    return [item.title if isinstance(item, RawItem) else item.error for item in await items(path, resume, **options)]


def write(path: Path, *records: object) -> Path:
    text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
async def test_json_lines_are_history_by_their_common_names(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / name,
        {
            "title": "A",
            "text": "body",
            "url": "https://a.example/1",
            "id": 1,
            "publisher": "Wire",
            "published": "2024-05-17T09:30:00Z",
            "language": "en",
        },
        {
            "text": "Headline",
            "summary": "lead",
            "link": "l",
            "guid": "g",
            "source": "s",
            "date": "2024-05-17",
            "lang": "zh",
        },
    )
    first, second = await items(path)
    assert isinstance(first, RawItem)
    assert isinstance(second, RawItem)
    assert (first.title, first.body, first.guid, first.link) == ("A", "body", "1", "https://a.example/1")
    assert (first.publisher, first.language, first.history, first.received) == ("Wire", "en", True, NOON)
    assert first.published == datetime(2024, 5, 17, 9, 30, tzinfo=UTC)
    assert (second.title, second.body, second.guid, second.link) == ("Headline", "lead", "g", "l")
    assert (second.publisher, second.language) == ("s", "zh")
    assert second.published == datetime(2024, 5, 17, 23, 59, 59, tzinfo=UTC)
    assert json.loads(first.raw)["title"] == "A"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.CSV"])
async def test_a_table_is_read_with_quoted_lines_and_long_cells(tmp_path: Path, name: str) -> None:
    long = "long " * 50_000
    text = f'\ufefftitle,text\nA,"two\nlines"\n\n"B, ""quoted""",{long}\n'.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    first, second = await items(path)
    assert isinstance(first, RawItem)
    assert isinstance(second, RawItem)
    assert (first.title, first.body, first.raw) == ("A", "two\nlines", b'A,"two\nlines"\n')
    assert (second.title, second.body) == ('B, "quoted"', long)


async def test_a_mapping_says_where_an_archive_keeps_what(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"kop": "A", "title": "ignored", "wanneer": 1715938200})
    (item,) = await items(path, fields={"title": "kop", "published": "wanneer"})
    assert isinstance(item, RawItem)
    assert (item.title, item.published) == ("A", datetime(2024, 5, 17, 9, 30, tzinfo=UTC))
    with pytest.raises(ConfigurationError, match="found headline; expected some of title, text"):
        archive(path, fields={"headline": "kop"})


async def test_bad_lines_are_dead_letters_that_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"title": "good"}\n\n{"title": \nnull\n\xff\xfe\n{"title": 5}\n{"x": "no text"}\n' + b"[" * 100_000 + b"\n"
        b'{"title": "x", "published": "never"}\n{"title": "last"}'
    )
    good, *letters, last = await items(path)
    assert isinstance(good, RawItem)
    assert isinstance(last, RawItem)
    assert (good.title, last.title) == ("good", "last")
    for letter, number, error in zip(
        letters,
        (3, 4, 5, 6, 7, 8, 9),
        (
            "no JSON",
            "no JSON object",
            "no JSON",
            "title is a number",
            "there is no text",
            "no JSON",
            "published: found",
        ),
        strict=True,
    ):
        assert isinstance(letter, DeadLetter)
        assert letter.error.startswith(f"{path}:{number}: ")
        assert error in letter.error
    assert [letter.raw for letter in letters[:2]] == [b'{"title": \n', b"null\n"]


async def test_bad_rows_are_dead_letters_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"title,text\nA,a\nB\nC,c,c\n\xff,d\nE,e\n")
    assert await titles(path) == [
        "A",
        f"{path}:3: the row has 1 cells; expected 2",
        f"{path}:4: the row has 3 cells; expected 2",
        f"{path}:5: the row is not UTF-8",
        "E",
    ]


async def test_lines_without_end_neither_fill_the_memory_nor_hide_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"title": "A"}\n' + b"x" * 10_000 + b'\n{"title": "B"}\n')
    assert await titles(path) == ["A", f"{path}:2: the line is longer than 1000 bytes", "B"]
    table = tmp_path / "a.csv"
    table.write_bytes(b"title,text\nA,a\nlong," + b"x" * 10_000 + b"\nB,b\n")
    assert await titles(table) == ["A", f"{table}:3: the row is longer than 1000 bytes", "B"]
    table.write_bytes(b'title,text\nA,a\nlong,"' + b"x\n" * 1000 + b'"\nB,b\n')
    assert (await titles(table))[0] == "A"
    assert "the row is no CSV" in (await titles(table))[1]


async def test_a_file_that_is_cut_short_says_so_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress("".join(f'{{"title": "{n}", "text": "{n * 7919}"}}\n' for n in range(5000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    read = await batches(path)
    last = read[-1].items[-1]
    assert isinstance(last, DeadLetter)
    assert "cannot be read any further" in last.error
    assert sum(isinstance(item, DeadLetter) for batch in read for item in batch.items) == 1
    assert read[-1].position is not None
    assert await items(path, [read[-1].position]) == []


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv.gz"])
async def test_reading_goes_on_after_the_last_commit(tmp_path: Path, name: str) -> None:
    numbers = [str(n) for n in range(2 * CHUNK + 10)]
    path = tmp_path / name
    if "csv" in name:
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in ["title", *numbers]).encode()))
    else:
        write(path, *({"title": number} for number in numbers))
    read = await batches(path)
    assert [len(batch.items) for batch in read] == [CHUNK, CHUNK, 10]
    for n, batch in enumerate(read, 1):
        assert batch.position is not None
        assert await titles(path, [batch.position]) == numbers[n * CHUNK :]


async def test_a_file_that_grew_is_read_on_and_one_that_changed_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"title": "A"}, {"title": "B"})
    (batch,) = await batches(path)
    assert batch.position is not None
    write(path, {"title": "A"}, {"title": "B"}, {"title": "C"})
    assert await titles(path, [batch.position]) == ["C"]
    write(path, {"title": "X"}, {"title": "Y"}, {"title": "Z"})
    assert await titles(path, [batch.position]) == ["X", "Y", "Z"]


async def test_a_folder_or_pattern_is_read_file_by_file_each_with_its_position(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("b.jsonl", "a.jsonl", "more/c.jsonl"):
        write(tmp_path / name, {"title": name})
    (tmp_path / "README.md").write_text("no archive")
    assert await titles(tmp_path) == ["a.jsonl", "b.jsonl", "more/c.jsonl"]
    assert await titles(tmp_path / "[ab].jsonl") == ["a.jsonl", "b.jsonl"]
    positions = [batch.position for batch in await batches(tmp_path) if batch.position is not None]
    write(tmp_path / "aa.jsonl", {"title": "new"})
    assert await titles(tmp_path, positions) == ["new"]


async def test_a_day_can_be_lived_through_again(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"title": "A", "published": "2019-03-10T12:00:00Z"},
        {"title": "B", "published": "2019-03-10"},
        {"title": "C"},
    )
    first, second, third = await items(path, history=False, as_of_published=True)
    assert isinstance(first, RawItem)
    assert isinstance(second, RawItem)
    noon, night = datetime(2019, 3, 10, 12, tzinfo=UTC), datetime(2019, 3, 10, 23, 59, 59, tzinfo=UTC)
    assert (first.received, first.handed_over, first.published, first.history) == (noon, noon, noon, False)
    assert (second.received, second.published) == (night + timedelta(seconds=1), night)
    assert (first.daily, second.daily) == (False, True)
    assert isinstance(third, DeadLetter)
    assert "there is no time; expected one of published, date, timestamp" in third.error


async def test_a_record_that_says_so_is_known_at_the_end_of_its_day(tmp_path: Path) -> None:
    noon = "2019-03-10T12:00:00Z"
    path = write(
        tmp_path / "a.jsonl",
        {"title": "A", "published": noon, "resolution": "day"},
        {"title": "B", "published": noon, "resolution": "minute"},
    )
    first, second = await items(path, history=False, as_of_published=True)
    assert isinstance(first, RawItem)
    assert isinstance(second, RawItem)
    assert (first.received, first.daily) == (datetime(2019, 3, 11, tzinfo=UTC), True)
    assert (second.received, second.daily) == (datetime(2019, 3, 10, 12, tzinfo=UTC), False)
    imported, _ = await items(path)
    assert isinstance(imported, RawItem)
    assert (imported.published, imported.daily) == (datetime(2019, 3, 10, 23, 59, 59, tzinfo=UTC), False)


async def test_times_that_cannot_be_are_named_and_end_nothing(tmp_path: Path) -> None:
    days = ("1969-12-31", "9999-12-31", "2019-03-10")
    path = write(tmp_path / "a.jsonl", *({"title": "A", "published": day} for day in days))
    first, second, third = await items(path, history=False, as_of_published=True)
    assert isinstance(first, DeadLetter)
    assert isinstance(second, DeadLetter)
    assert isinstance(third, RawItem)
    assert "a.jsonl:1: the time 1969-12-31 23:59 lies before 1990 or ahead of us" in first.error
    assert "a.jsonl:2: the time 9999-12-31 23:59" in second.error


async def test_a_path_without_archives_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path in (
        tmp_path,
        tmp_path / "notes.txt",
        tmp_path / "missing.jsonl",
        tmp_path / "*.csv",
        Path("missing/*.csv"),
    ):
        with pytest.raises(ConfigurationError, match="found no archive"):
            archive(path)


async def test_files_with_other_names_for_everything_are_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("kop,tekst\nA,a\n")
    with pytest.raises(
        ConfigurationError, match=r"a\.csv: found the fields kop, tekst; expected at least one of title"
    ):
        archive(path)


async def test_an_empty_archive_is_read_to_its_end(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv"):
        (tmp_path / name).write_bytes(b"")
        assert await items(tmp_path / name) == []


async def test_a_closed_archive_ends(tmp_path: Path) -> None:
    source = archive(write(tmp_path / "a.jsonl", *({"title": str(n)} for n in range(3 * CHUNK))))
    read = 0
    async for _ in source.batches(()):
        read += 1
        await source.close()
    assert read == 1
