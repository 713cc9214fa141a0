from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.entities.watchlist import Watchlist
from monitor.errors import ConfigurationError
from monitor.types import EntityId
from tests.core.strings import naughty, texts

__all__ = ["naughty"]

TOML = """
[[company]]
id = "acme"
names = ["Acme Bank", "Acme", "艾克米银行"]
tickers = ["$ACME", "600000.SH"]
parent = "acme-group"
near = ["bank"]
not_near = ["cartoon"]

[[company]]
id = "acme-group"
names = ["Ａｃｍｅ Group"]
"""
CSV = """id,names,tickers,parent,near,not_near
acme,Acme Bank|Acme; 艾克米银行 ,$ACME|600000.SH,acme-group,bank,cartoon

acme-group,Acme Group
"""
ACME, GROUP = EntityId("acme"), EntityId("acme-group")


def toml(*tables: str) -> Watchlist:
    return Watchlist.merge([Watchlist.parse_toml("\n".join(f"[[company]]\n{table}" for table in tables), "watch.toml")])


@pytest.mark.parametrize(
    "watchlist", [Watchlist.parse_toml(TOML, "watch.toml"), Watchlist.parse_csv(CSV, "watch.csv")], ids=["toml", "csv"]
)
def test_a_company_is_read_with_all_that_is_said_of_it(watchlist: Watchlist) -> None:
    acme = watchlist.company(ACME)
    assert acme.name == "Acme Bank"
    assert acme.names == ("Acme Bank", "Acme", "艾克米银行")
    assert [ticker.text for ticker in acme.tickers] == ["$ACME", "600000.SH"]
    assert (acme.parent, acme.near, acme.not_near) == (GROUP, ("bank",), ("cartoon",))
    assert watchlist.company(GROUP).names == ("Acme Group",)
    assert len(watchlist) == 2


def test_a_csv_written_by_a_spreadsheet_is_read() -> None:
    watchlist = Watchlist.parse_csv('\ufeffnames,id\r\n"Acme, Inc.",acme\r\n,\r\n', "watch.csv")
    assert watchlist.company(ACME).names == ("Acme, Inc.",)


def test_the_ancestors_of_a_company_are_told_from_near_to_far() -> None:
    watchlist = toml(
        'id = "a"\nnames = ["Alpha"]\nparent = "b"',
        'id = "b"\nnames = ["Beta"]\nparent = "c"',
        'id = "c"\nnames = ["Gamma"]',
    )
    assert watchlist.ancestors(EntityId("a")) == ("b", "c")
    assert watchlist.ancestors(EntityId("c")) == ()
    assert watchlist.ancestors(EntityId("unwatched")) == ()


def test_a_parent_may_stand_in_another_file() -> None:
    child = Watchlist.parse_toml('[[company]]\nid = "a"\nnames = ["Alpha"]\nparent = "b"', "one.toml")
    parent = Watchlist.parse_csv("id,names\nb,Beta", "two.csv")
    assert Watchlist.merge([child, parent]).ancestors(EntityId("a")) == ("b",)
    with pytest.raises(
        ConfigurationError, match=r'^one.toml, company 1 \("a"\): the parent "b" is not in the watchlist'
    ):
        Watchlist.merge([child])


def test_no_company_at_all_is_a_watchlist() -> None:
    assert Watchlist.merge([]).companies == ()
    assert Watchlist.parse_toml("", "watch.toml").companies == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[company]", r"^watch.toml: not valid TOML: .*line 1"),
        ("[[companies]]", r'^watch.toml: unknown key "companies"; did you mean "company"\?: expected company$'),
        ("company = 3", r'^watch.toml: "company" is 3: expected tables under \[\[company\]\]$'),
        ("[company]\nid='a'", r'^watch.toml: "company" is .*: expected tables'),
        (
            '[[company]]\nid = "a"\nname = ["Alpha"]',
            r'^watch.toml, company 1 \("a"\): unknown key "name"; did you mean "names"\?: expected id, names',
        ),
        ('[[company]]\nid = "a"', r'^watch.toml, company 1 \("a"\): "names" is empty: expected at least one name$'),
        ('[[company]]\nid = "a"\nnames = "Alpha"', r'"names" is \'Alpha\': expected a list of texts$'),
        ('[[company]]\nid = "a"\nnames = [1]', r'"names" is \[1\]: expected a list of texts$'),
        ('[[company]]\nid = "a"\nnames = ["Al", " "]', r'"names" holds an empty text'),
        ('[[company]]\nid = 3\nnames = ["Alpha"]', r'^watch.toml, company 1: "id" is 3: expected a text$'),
        ('[[company]]\nnames = ["Alpha"]', r'^watch.toml, company 1: "id" is "": expected 1 to 64 letters'),
        ('[[company]]\nid = "a b"\nnames = ["Alpha"]', r'"id" is "a b": expected 1 to 64 letters'),
        ('[[company]]\nid = "a×b"\nnames = ["Alpha"]', r'"id" is "a×b": expected 1 to 64 letters'),
        ('[[company]]\nid = "a"\nnames = ["中"]', r'the name "中" would be found everywhere: expected at least two'),
        ('[[company]]\nid = "a"\nnames = ["T"]', r'the name "T" would be found everywhere'),
        ('[[company]]\nid = "a"\nnames = ["Alpha"]\ntickers = ["600519"]', r'"600519" lacks its exchange.*600519.SH'),
        ('[[company]]\nid = "a"\nnames = ["Alpha"]\ntickers = ["a b"]', r'"a b" is of no known form: expected'),
        ('[[company]]\nid = "a"\nnames = ["Alpha"]\nparent = "a"', r'parents go in a circle: "a" → "a"'),
    ],
)  # fmt: skip
def test_a_mistake_in_toml_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Watchlist.parse_toml(text, "watch.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r'^watch.csv, line 1: there is no column "id": expected a header line such as id,names'),
        ("id\na", r'^watch.csv, line 1: there is no column "names"'),
        ("id,names,ticker\n", r'^watch.csv, line 1: unknown column "ticker"; did you mean "tickers"\?'),
        ("id,names,id\n", r'^watch.csv, line 1: the column "id" stands there twice'),
        ("id,names\na,Alpha\nb,Beta,Inc.", r"^watch.csv, line 3: 3 fields: expected at most 2.*comma unquoted"),
        ("id,names\na,Alpha\n\n,Beta", r'^watch.csv, line 4: "id" is "": expected 1 to 64'),
        ("id,names\na,|", r'^watch.csv, line 2: "names" is empty'),
        ('id,names\na,"Alpha', r"^watch.csv, line 2: not valid CSV"),
        ("id,names\na,Alpha\na,Beta", r'^watch.csv, line 3: the id "a" is taken by watch.csv, line 2'),
        ("id,names\na,Alpha\nb,ALPHA", r'^watch.csv, line 3: "ALPHA" also names "a" \(watch.csv, line 2\)'),
        ("id,names,tickers\na,Alpha,600519.SH\nb,Beta,600519.SS", r'^watch.csv, line 3: .* also names "a"'),
        ("id,names,parent\na,Alpha,b\nb,Beta,c\nc,Gamma,a", r'parents go in a circle: "a" → "b" → "c" → "a"'),
    ],
)
def test_a_mistake_in_csv_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Watchlist.parse_csv(text, "watch.csv")


def test_files_that_contradict_each_other_are_refused() -> None:
    one = Watchlist.parse_toml('[[company]]\nid = "a"\nnames = ["Alpha"]', "one.toml")
    other = Watchlist.parse_csv("id,names\nb,alpha", "two.csv")
    with pytest.raises(ConfigurationError, match=r'^two.csv, line 2: "alpha" also names "a" \(one.toml, company 1'):
        Watchlist.merge([one, other])


def test_a_mistyped_parent_is_told_the_nearest_id() -> None:
    with pytest.raises(ConfigurationError, match=r'the parent "acme-grup" is not in .*; did you mean "acme-group"\?'):
        toml('id = "acme"\nnames = ["Acme"]\nparent = "acme-grup"', 'id = "acme-group"\nnames = ["Acme Group"]')


def complaint(parse: Callable[[str, str], Watchlist], text: str) -> str | None:
    """Return what is said of a file, or None where it is a watchlist."""
    try:
        parse(text, "watch")
    except ConfigurationError as error:
        return str(error)
    return None


def row(cells: list[str]) -> str:
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    return f"id,names,tickers,near\na,{quoted}"


@given(texts)
def test_whatever_a_file_holds_is_a_watchlist_or_one_plain_error(text: str) -> None:
    for parse in (Watchlist.parse_toml, Watchlist.parse_csv):
        assert (complaint(parse, text) or "watch").startswith("watch")


@given(st.lists(texts, min_size=1, max_size=3))
def test_whatever_a_cell_holds_is_a_company_or_one_plain_error(cells: list[str]) -> None:
    assert (complaint(Watchlist.parse_csv, row(cells)) or "watch, line").startswith("watch, line")


def test_naughty_strings_hold(naughty: list[str]) -> None:
    for text in naughty:
        assert (complaint(Watchlist.parse_csv, row([text, text, text])) or "watch, line").startswith("watch, line")
