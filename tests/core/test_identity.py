from hypothesis import given
from hypothesis import strategies as st

from monitor.core.identity import article_id, digest
from monitor.types import SourceId

WIRE, TAPE = SourceId("wire"), SourceId("tape")
anything = st.text(st.characters(codec=None), max_size=20)
maybe = st.none() | anything


@given(anything, maybe, maybe, anything)
def test_an_id_is_32_digits_and_begins_with_the_version_of_its_rule(
    source: str, guid: str | None, link: str | None, text: str
) -> None:
    made = article_id(SourceId(source), guid=guid, link=link, text=text)
    assert len(bytes.fromhex(made)) == 16
    assert made == made.lower()
    assert made.startswith("01")
    assert made == article_id(SourceId(source), guid=guid, link=link, text=text)


def test_ids_stay_the_same_over_versions() -> None:
    assert article_id(WIRE, guid="urn:1", link=None, text="") == "01afb602f4c13e8d895b9e58c1a3b0d8"
    assert digest("Acme falls", "") == "daeb6c9d5c3bd135576fd7eff6180ba18e27530f7383cf3b3f98b8cfe337d464"


def test_the_guid_decides_then_the_link_then_the_text() -> None:
    by_guid = article_id(WIRE, guid="1", link="https://a.example/1", text="Acme falls")
    assert by_guid == article_id(WIRE, guid=" 1\n", link="https://a.example/moved", text="Acme falls, revised")
    by_link = article_id(WIRE, guid=None, link="https://a.example/1", text="Acme falls")
    assert by_link == article_id(WIRE, guid=" ", link="https://a.example/1 ", text="Acme falls, revised")
    by_text = article_id(WIRE, guid=None, link=None, text="Acme falls")
    assert by_text == article_id(WIRE, guid="", link="", text="Acme falls")
    assert by_text != article_id(WIRE, guid=None, link=None, text="Acme rises")


def test_sources_do_not_share_ids() -> None:
    assert article_id(WIRE, guid="1", link=None, text="") != article_id(TAPE, guid="1", link=None, text="")


@given(st.text("ab", max_size=4), st.text("ab", max_size=4))
def test_what_identifies_is_part_of_the_id(source: str, value: str) -> None:
    whole = SourceId(source)
    ids = {article_id(whole, guid=None, link=None, text=value)}
    if value:
        ids |= {
            article_id(whole, guid=value, link=None, text=""),
            article_id(whole, guid=None, link=value, text=""),
            article_id(SourceId(source + value), guid=value, link=None, text=""),
        }
        assert len(ids) == 4


@given(anything, anything, anything, anything)
def test_a_digest_is_of_title_and_text_apart(title: str, text: str, other_title: str, other_text: str) -> None:
    alike = digest(title, text) == digest(other_title, other_text)
    assert alike == ((title, text) == (other_title, other_text))
    assert digest("ab", "c") != digest("a", "bc")
