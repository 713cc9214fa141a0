"""The companies that are watched: who they are, what they are called, and whom they belong to.

In TOML:

    [[company]]
    id = "acme"
    names = ["Acme Bank", "Acme", "艾克米银行"]
    tickers = ["$ACME", "600000.SH"]
    parent = "acme-group"         # the id of another company, in any of the files
    near = ["bank", "loan"]       # one of these must stand near a name (a ticker needs none)
    not_near = ["cartoon"]        # none of these may

In CSV, with a header line and these columns in any order, of which `id` and `names` are needed; several values in one
field are separated by `|` or `;`:

    id,names,tickers,parent,near,not_near
    acme,Acme Bank|Acme|艾克米银行,$ACME|600000.SH,acme-group,bank|loan,cartoon
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from monitor.core.entities.tickers import Ticker
from monitor.core.text.language import has_han
from monitor.core.text.normalise import clean
from monitor.core.wording import CHINESE, ENGLISH
from monitor.errors import ConfigurationError
from monitor.types import EntityId, Language

_FIELDS = ("id", "names", "tickers", "parent", "near", "not_near")
_LISTS = frozenset(["names", "tickers", "near", "not_near"])
_ID = re.compile(r"\w[\w.-]{0,63}")
_VALUES = re.compile("[|;]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """One company of a watchlist. Its names and words are cleaned as texts are; the first name is shown to people."""

    id: EntityId
    names: tuple[str, ...]
    tickers: tuple[Ticker, ...] = ()
    parent: EntityId | None = None
    near: tuple[str, ...] = ()
    not_near: tuple[str, ...] = ()
    where: str = ""  # the file and the place in it, for messages

    @property
    def name(self) -> str:
        """The name for people."""
        return self.names[0]

    @property
    def called(self) -> Mapping[Language, str]:
        """The first name that is written in Chinese characters, and the first that is not, where there are such."""
        called: dict[Language, str] = {}
        for name in self.names:
            called.setdefault(CHINESE if has_han(name) else ENGLISH, name)
        return called


class Watchlist:
    """Companies by id. No two of them share an id, a name or a ticker, and none is its own ancestor.

    Raises ConfigurationError where they do. Only `merge` demands that every parent is there: it may stand in another
    file.
    """

    def __init__(self, companies: Iterable[Company] = ()) -> None:
        self._companies: dict[EntityId, Company] = {}
        owners: dict[str, Company] = {}
        for company in companies:
            twin = self._companies.setdefault(company.id, company)
            if twin is not company:
                raise ConfigurationError(
                    f'{company.where}: the id "{company.id}" is taken by {twin.where}: expected an id of its own'
                )
            forms = (form.text for ticker in company.tickers for form in ticker.forms)
            for label in [*company.names, *forms]:
                owner = owners.setdefault(label.casefold(), company)
                if owner is not company:
                    raise ConfigurationError(
                        f'{company.where}: "{label}" also names "{owner.id}" ({owner.where}): '
                        "expected each name and ticker at one company only"
                    )
        self._refuse_cycles()

    @classmethod
    def parse_toml(cls, text: str, where: str) -> Watchlist:
        """Read a watchlist in TOML; `where` names the file in messages. Raises ConfigurationError."""
        try:
            document = tomllib.loads(text.removeprefix("\ufeff"))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{where}: not valid TOML: {error}") from error
        _refuse_unknown(document, ("company",), where)
        tables = document.get("company", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ConfigurationError(f'{where}: "company" is {_shown(tables)}: expected tables under [[company]]')
        return cls(_from_table(table, f"{where}, company {at}") for at, table in enumerate(tables, start=1))

    @classmethod
    def parse_csv(cls, text: str, where: str) -> Watchlist:
        """Read a watchlist in CSV; `where` names the file in messages. Raises ConfigurationError."""
        rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            _check_header(header, f"{where}, line 1")
            return cls(
                _from_row(header, row, f"{where}, line {rows.line_num}")
                for row in rows
                if any(field.strip() for field in row)
            )
        except csv.Error as error:
            raise ConfigurationError(f"{where}, line {rows.line_num}: not valid CSV: {error}") from error

    @classmethod
    def merge(cls, watchlists: Iterable[Watchlist]) -> Watchlist:
        """Join watchlists into a complete one: every parent is a company of it. Raises ConfigurationError."""
        merged = cls(company for watchlist in watchlists for company in watchlist.companies)
        for company in merged.companies:
            if company.parent is not None and company.parent not in merged._companies:
                raise ConfigurationError(
                    f'{company.where}: the parent "{company.parent}" is not in the watchlist'
                    f"{_hint(company.parent, merged._companies)}: expected the id of a company"
                )
        return merged

    @property
    def companies(self) -> Sequence[Company]:
        """All companies, in the order of the files."""
        return tuple(self._companies.values())

    def company(self, id: EntityId) -> Company:  # noqa: A002  the word of the watchlist
        """Return one company; raise KeyError where it is not watched."""
        return self._companies[id]

    def called(self, id: EntityId) -> Mapping[Language, str]:  # noqa: A002  the word of the watchlist
        """Return what a company is called, by language; nothing for one that is not watched."""
        company = self._companies.get(id)
        return company.called if company is not None else {}

    def ancestors(self, id: EntityId) -> tuple[EntityId, ...]:  # noqa: A002  the word of the watchlist
        """Return the company's parent, the parent's parent and so on; () for one that is not watched."""
        found: list[EntityId] = []
        company = self._companies.get(id)
        while company is not None and company.parent is not None:
            found.append(company.parent)
            company = self._companies.get(company.parent)
        return tuple(found)

    def __len__(self) -> int:
        return len(self._companies)

    def _refuse_cycles(self) -> None:
        sound: set[EntityId] = set()  # those whose ancestors are known to end
        for start in self._companies.values():
            line: dict[EntityId, None] = {}
            company: Company | None = start
            while company is not None and company.id not in sound:
                if company.id in line:
                    circle = " → ".join(f'"{one}"' for one in [*line, company.id])
                    raise ConfigurationError(f"{start.where}: parents go in a circle: {circle}: expected an end")
                line[company.id] = None
                company = self._companies.get(company.parent) if company.parent is not None else None
            sound.update(line)


def _from_table(table: Mapping[str, object], where: str) -> Company:
    if isinstance(table.get("id"), str):
        where = f'{where} ("{table["id"]}")'
    _refuse_unknown(table, _FIELDS, where)
    for key, value in table.items():
        if key in _LISTS:
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise ConfigurationError(f'{where}: "{key}" is {_shown(value)}: expected a list of texts')
        elif not isinstance(value, str):
            raise ConfigurationError(f'{where}: "{key}" is {_shown(value)}: expected a text')
    return _company(table, where)


def _check_header(header: Sequence[str], where: str) -> None:
    _refuse_unknown(header, _FIELDS, where, what="column")
    for name in ("id", "names"):
        if name not in header:
            raise ConfigurationError(
                f'{where}: there is no column "{name}": expected a header line such as {",".join(_FIELDS)}'
            )
    for name in header:
        if header.count(name) > 1:
            raise ConfigurationError(f'{where}: the column "{name}" stands there twice: expected it once')


def _from_row(header: Sequence[str], row: Sequence[str], where: str) -> Company:
    if len(row) > len(header):
        raise ConfigurationError(
            f"{where}: {len(row)} fields: expected at most {len(header)}, as in the header (is a comma unquoted?)"
        )
    entry: dict[str, object] = {}
    for name, value in zip(header, row, strict=False):  # a line may be shorter than the header
        if value.strip():
            entry[name] = [one for one in _VALUES.split(value) if one.strip()] if name in _LISTS else value
    return _company(entry, where)


def _company(entry: Mapping[str, object], where: str) -> Company:
    id = str(entry.get("id", "")).strip()  # noqa: A001  the word of the watchlist
    if not _ID.fullmatch(id):
        raise ConfigurationError(
            f'{where}: "id" is "{id}": expected 1 to 64 letters, digits, "-", "_" or ".", a letter or digit first'
        )
    names = _words(entry, "names", where)
    if not names:
        raise ConfigurationError(f'{where}: "names" is empty: expected at least one name')
    for name in names:
        if sum(char.isalnum() for char in name) < 2:
            raise ConfigurationError(
                f'{where}: the name "{name}" would be found everywhere: expected at least two letters or digits '
                "(one letter can be a ticker)"
            )
    parent = str(entry.get("parent", "")).strip()
    return Company(
        id=EntityId(id),
        names=names,
        tickers=tuple(Ticker.parse(text, where) for text in _words(entry, "tickers", where)),
        parent=EntityId(parent) if parent else None,
        near=_words(entry, "near", where),
        not_near=_words(entry, "not_near", where),
        where=where,
    )


def _words(entry: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    """Return a list's texts, cleaned and once each; raise ConfigurationError for an empty one."""
    values = entry.get(key)
    if not values:
        return ()
    assert isinstance(values, list)
    words = [clean(value) for value in values]
    if not all(words):
        raise ConfigurationError(f'{where}: "{key}" holds an empty text: expected none')
    return tuple(dict.fromkeys(words))


def _refuse_unknown(found: Iterable[str], known: Sequence[str], where: str, what: str = "key") -> None:
    for name in found:
        if name not in known:
            raise ConfigurationError(
                f'{where}: unknown {what} "{name}"{_hint(name, known)}: expected {", ".join(known)}'
            )


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
