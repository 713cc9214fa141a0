"""How a ticker is written in news: one code, several habits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from monitor.errors import ConfigurationError

_CASHTAG = re.compile(r"\$?([A-Z][A-Z0-9]{0,5}(?:[.-][A-Z]{1,2})?)")
_EXCHANGE_CODE = re.compile(r"([A-Z0-9]{1,10}(?:-[A-Z])?)\.([A-Z]{1,3})")
_MAINLAND = {"SH": ("SH", "SS"), "SS": ("SH", "SS"), "SZ": ("SZ",), "BJ": ("BJ",)}
_AMERICAN = ("NYSE", "NASDAQ", "NYSE American", "AMEX")


@dataclass(frozen=True, slots=True)
class Form:
    """One way a ticker is written. `trimmed` characters at its beginning mark it and are no part of the mention."""

    text: str
    exact: bool  # with these capitals; else in any case
    trimmed: int = 0


@dataclass(frozen=True, slots=True)
class Ticker:
    """A ticker as the watchlist gives it, and the forms under which it is found in texts."""

    text: str
    forms: tuple[Form, ...]

    @classmethod
    def parse(cls, text: str, where: str) -> Ticker:
        """Read a ticker. Raises ConfigurationError where it is of no kind below; `where` names its place.

        - `$ALLY` or `ALLY`, a symbol: found as "$ALLY", "NYSE: ALLY", "NASDAQ:ALLY", with these capitals; never as the
          bare word, which may be any word ("ALL", "IT"). Who wants the bare word lists it among the names.
        - `600519.SH` (SH, SS, SZ, BJ), a code of mainland China: found as "600519.SH", "600519.SS", "SH600519" and, the
          Chinese habit, in brackets: "(600519)", "(600519,股吧)". A bare number is just a number.
        - `0700.HK`: found as "0700.HK", "00700.HK", "700.HK", "HK00700", "(00700)".
        - `BP.L`, any other code with a dot: found as it stands.
        """
        if re.fullmatch(r"\d+", text):
            raise ConfigurationError(f'{where}: the ticker "{text}" lacks its exchange: expected, say, "{text}.SH"')
        code = _EXCHANGE_CODE.fullmatch(text.upper())
        if code and code[2] in _MAINLAND and re.fullmatch(r"\d{6}", code[1]):
            return cls(text, _mainland(code[1], _MAINLAND[code[2]]))
        if code and code[2] == "HK" and re.fullmatch(r"\d{1,5}", code[1]):
            return cls(text, _hong_kong(int(code[1])))
        if text.startswith("$") or "." not in text:
            symbol = _CASHTAG.fullmatch(text)
            if symbol:
                return cls(text, _american(symbol[1]))
        elif code:
            return cls(text, (Form(text, exact=True),))
        raise ConfigurationError(f'{where}: the ticker "{text}" is of no known form: expected "$ALLY" or "600519.SH"')


def _american(symbol: str) -> tuple[Form, ...]:
    listed = [f"{exchange}:{space}{symbol}" for exchange in _AMERICAN for space in ("", " ")]
    return tuple(Form(text, exact=True) for text in (f"${symbol}", *listed))


def _mainland(number: str, exchanges: tuple[str, ...]) -> tuple[Form, ...]:
    found = [f"{number}.{exchange}" for exchange in exchanges] + [f"{exchange}{number}" for exchange in exchanges]
    return (*(Form(text, exact=False) for text in found), Form(f"({number}", exact=False, trimmed=1))


def _hong_kong(number: int) -> tuple[Form, ...]:
    widths = dict.fromkeys([f"{number}", f"{number:04}", f"{number:05}"])
    found = [f"{digits}.HK" for digits in widths] + [f"HK{number:05}"]
    return (*(Form(text, exact=False) for text in found), Form(f"({number:05}", exact=False, trimmed=1))
