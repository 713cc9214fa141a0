"""From what a source handed over to an article: cleaned, identified, dated, signed. Or to a dead letter, saying why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from monitor.core.identity import article_id, digest
from monitor.core.moments import DAWN
from monitor.core.text.language import settle_language
from monitor.core.text.normalise import clean
from monitor.core.text.signature import sign
from monitor.types import Article, DeadLetter, RawItem, Timeliness, document_of

if TYPE_CHECKING:
    from tldextract import TLDExtract

_LONGEST_TITLE = 120  # characters of a title that is taken from the text
_SENTENCE = re.compile(r".*?(?:[。!?！？]|[.](?=\s))")
_BREAK = re.compile(r"[\s,;:，；：、]")
_AFTER_TITLE = re.compile(r"(?:\s*[.。!?:;|…]+|\s[-–—]+)(?=\s|[^\x00-\x7f]|$)\s*")  # "Acme" stays in "Acme-owned"
_BRAND = re.compile(r"(?:\s*[|_]|\s[-–—])\s*[^\W\d]+(?:[\s.&']+[^\W\d]+){0,3}$")
_HEADLINE = 24  # characters that must be left of a title for its end to be taken for a publisher's name
_CUT = ".… "  # how a shortened text ends
_UNLINKABLE = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST_PUBLISHER = 200  # characters
_LONGEST_LINK = 8_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeRules:
    """What an article may be like."""

    max_text: int = 1_000_000  # characters of title and text together, as handed over and as cleaned
    lateness: timedelta = timedelta(hours=6)  # how long after its publication an article is still live


def read(item: RawItem, rules: IntakeRules) -> Article | DeadLetter:
    """Return the article in an item; a dead letter where it holds no text, or too much.

    - Title and text are cleaned. A missing title is the text's first sentence; a text that begins with the title, as
      descriptions in feeds do, is not doubled.
    - Link: http and https only, else None. Publisher: the mapped field, else the registrable domain of the link, else
      the source's id.
    - Language: what the source declares where that can be believed, else what the text shows.
    - Event time and timeliness: see `event_time` and `timeliness`.

    Raises nothing, whatever the item holds.
    """
    given = len(item.title) + len(item.body)
    if given > rules.max_text:
        return _dead(item, f"the text has {given:,} characters: expected at most {rules.max_text:,}")
    title, text = compose(clean(item.title), clean(item.body))
    if not title:
        return _dead(item, "no text: title and body are empty once cleaned")
    document = document_of(title, text)
    if len(document) > rules.max_text:
        return _dead(item, f"the cleaned text has {len(document):,} characters: expected at most {rules.max_text:,}")
    link = usable_link(item.link)
    published = event_time(item)
    return Article(
        id=article_id(item.source, guid=item.guid, link=link, text=document),
        source=item.source,
        publisher=publisher_of(item, link),
        title=title,
        text=text,
        link=link,
        language=settle_language(item.language, document),
        published=published,
        received=item.received,
        timeliness=timeliness(item, published, rules),
        signature=sign(f"{unbranded(title)}\n{text}"),
        digest=digest(title, text),
        raw=item.raw,
    )


def compose(title: str, text: str) -> tuple[str, str]:
    """Return a title and a text that follow each other without repeating; both were cleaned.

    A missing title is the first sentence of the text, or what comes before a break in its first 120 characters; the
    text then goes on after it, so that nothing is lost. Where the text only repeats the title, or the beginning of it,
    it is empty; where it opens with the title as a sentence of its own, that sentence goes.
    """
    if not title:
        end = _first_sentence(text)
        return text[:end].rstrip(), text[end:].lstrip()
    if title.casefold().startswith(text.rstrip(_CUT).casefold()):
        return title, ""
    if text[: len(title)].casefold() == title.casefold():
        after = _AFTER_TITLE.match(text, len(title))
        if after or not title[-1].isalnum():
            return title, text[after.end() if after else len(title) :].lstrip()
    return title, text


def unbranded(title: str) -> str:
    """Return the title without the name that many publishers hang on its end: `… - Daily Ledger`, `…_海湾财经`.

    For the copy signature only. A headline that every publisher signs is one story; that two headlines which differ
    in nothing but a last word after a dash become one is the lesser evil, and only where their companies agree.
    """
    brand = _BRAND.search(title)
    return title[: brand.start()] if brand and brand.start() >= _HEADLINE else title


def event_time(item: RawItem) -> datetime:
    """Return when an item happened: when it was published, but never after we received it.

    Where no time is given, or one before 1990, that is when we received it. A source that knows only the day should
    hand over no time for the current day: midnight would make today's news stale.
    """
    if item.published is None or item.published < DAWN:
        return item.received
    return min(item.published, item.received)


def timeliness(item: RawItem, published: datetime, rules: IntakeRules) -> Timeliness:
    """Say what an item may do to the needle. Two delays are told apart:

    - *Publication to hand-over* is the source's. Where it exceeds the lateness allowed, widened by the time the source
      could not be read, the news was old when it came: history. So is what the source calls history (a first poll, an
      import).
    - *Publication to receipt* is what the desk feels. Within the lateness allowed the article is live; beyond, it is
      the backlog of an outage, the source's or our own (a topic keeps what was handed over while we were down), and
      late: decided at its own time and told once.

    An archive's item of which only the day is known is known at that day's end.
    """
    if item.history or item.handed_over - published > rules.lateness + item.gap:
        return Timeliness.HISTORY
    if item.daily:
        return Timeliness.DAY
    return Timeliness.LIVE if item.received - published <= rules.lateness else Timeliness.LATE


def usable_link(link: str | None) -> str | None:
    """Return an absolute http or https link, or None: a desk must be able to click on it without harm."""
    link = (link or "").strip()
    if not link or len(link) > _LONGEST_LINK or _UNLINKABLE.search(link):
        return None
    try:
        parts = urlsplit(link)
        host = parts.hostname
    except ValueError:  # "http://[", say
        return None
    return link if parts.scheme in ("http", "https") and host else None


def publisher_of(item: RawItem, link: str | None) -> str:
    """Return who wrote an item: the mapped field, else the registrable domain of the link, else the source's id."""
    mapped = clean((item.publisher or "")[:_LONGEST_PUBLISHER])
    return mapped or (registrable_domain(link) if link else None) or item.source


def registrable_domain(link: str) -> str | None:
    """Return the part of a link's host that someone registered: `bbc.co.uk`, `someone.blogspot.com`, or the address."""
    host = (urlsplit(link).hostname or "").rstrip(".").lower()
    return _registrable(host) or host or None


@lru_cache(maxsize=4096)
def _registrable(host: str) -> str:
    parts = _suffixes()(host)
    if parts.suffix or parts.ipv4 or ":" in host:
        return parts.top_domain_under_public_suffix
    return ".".join(host.split(".")[-2:])  # the list's own rule: a suffix that is not on it is one label


@cache
def _suffixes() -> TLDExtract:
    """Load the public suffix list that tldextract carries; nothing is fetched, nothing is written."""
    from tldextract import TLDExtract  # noqa: PLC0415  heavy: `newsquake --help` must be quick

    return TLDExtract(cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True)


def _first_sentence(text: str) -> int:
    """Return where the text's first sentence ends, or a break between words before the longest a title may be."""
    sentence = _SENTENCE.match(text, 0, _LONGEST_TITLE)
    if sentence:
        return sentence.end()
    if len(text) <= _LONGEST_TITLE:
        return len(text)
    breaks = [at.end() for at in _BREAK.finditer(text, 0, _LONGEST_TITLE)]
    return breaks[-1] if breaks else _LONGEST_TITLE


def _dead(item: RawItem, error: str) -> DeadLetter:
    return DeadLetter(source=item.source, raw=item.raw, error=error, received=item.received)
