"""Which language a text is in: by its script where that says it, else by py3langid's model, which its wheel carries."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING

from monitor.types import Language

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]  # it carries no types

UNDETERMINED = Language("und")
_READ = 500  # characters; more of a text says nothing new

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_OTHER_LETTER = re.compile("[^\\W\\d_\u3041-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]")
_UNSPOKEN = re.compile(r"https?://\S*|[$@#]\w+|\w*\d\w*")  # links, cashtags, handles and figures belong to no language

# Languages that financial news is published in. py3langid knows a hundred more, among them close relatives (Nigerian
# Pidgin, Wu, Luxembourgish) to which it gives a tenth of short English and Chinese headlines.
_PUBLISHED = (
    "ar bg bn cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl sr sv ta te th"
)
LANGUAGES = frozenset([*_PUBLISHED.split(), "tr", "uk", "ur", "vi", "zh"])
BY_SCRIPT = frozenset({"ja", "ko", "zh"})
_MARGIN = 8.0  # nats by which another language in Latin script must beat English before it is believed


def has_han(text: str) -> bool:
    """Tell whether a text holds a Chinese character."""
    return _HAN.search(text) is not None


def detect_language(text: str) -> Language:
    """Return the ISO 639-1 code of a cleaned text's language, or "und" where it has no letters.

    Chinese, Japanese and Korean are told by their script, of which a character weighs as much as three Latin letters:
    "苹果发布iPhone 17 Pro" is Chinese. The rest is the model's to say, with a bias to English, since tickers, names and
    clipped headlines look foreign to it. Only the first 500 characters are read.
    """
    text = text[:_READ]
    script = _by_script(text)
    if script is not None:
        return script
    spoken = _UNSPOKEN.sub(" ", text)
    if not _OTHER_LETTER.search(spoken):
        spoken = text
    scores = dict(_identifier().rank(spoken))
    best = max(scores, key=scores.__getitem__)
    return Language("en" if scores[best] - scores["en"] < _MARGIN else best)


def language_among(text: str, wanted: Collection[Language]) -> Language | None:
    """Return the language of a cleaned text where it is one of these, else None.

    Quick where each of these has a script of its own: then nothing else is asked.
    """
    found = _by_script(text[:_READ])
    if found is None and not BY_SCRIPT.issuperset(wanted):
        found = detect_language(text)
    return found if found in wanted else None


def settle_language(declared: str | None, text: str) -> Language:
    """Return the language a source declares ("fr", "zh-TW") where that can be believed, else what the text shows.

    English is not believed, being what every feed template declares; nor is what the script of the text contradicts.
    """
    code = (declared or "").strip().replace("_", "-").partition("-")[0].lower()
    script = _by_script(text[:_READ])
    if code in ("zh", "ja") and script == "zh":  # a Japanese headline may be all Chinese characters
        return Language(code)
    if code in LANGUAGES - BY_SCRIPT - {"en"} and script in (None, UNDETERMINED):
        return Language(code)
    return detect_language(text)


def _by_script(text: str) -> Language | None:
    """Return the language its script tells, "und" for a text without letters, None where the model is to be asked."""
    other = len(_OTHER_LETTER.findall(text))
    if text.isascii():
        return None if other else UNDETERMINED
    han, kana, hangul = (len(script.findall(text)) for script in (_HAN, _KANA, _HANGUL))
    if han + kana + hangul + other == 0:
        return UNDETERMINED
    if (han + kana + hangul) * 3 < other:
        return None
    if hangul > han + kana:
        return Language("ko")
    # one kana is an ornament of Chinese brands; a Japanese sentence has many
    return Language("ja") if kana >= 2 and kana * 6 >= han + kana else Language("zh")


@cache
def _identifier() -> LanguageIdentifier:
    """Load the model (about a second, 100 MB) at the first text that needs it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415  heavy: `newsquake --help` must be quick

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(LANGUAGES)
    return identifier
