"""Bring any text into one plain form, so that identity, copies, companies and the model all see the same characters.

No HTML parser stands here. We keep no markup, so a tokenizer is enough; and a parser that builds a tree takes 40 s for
100,000 nested tags and swallows the article behind one unclosed quote. Everything below is linear in its input.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from html.entities import html5

# What is invisible, steers direction, or means nothing outside one font or program: control and format characters,
# zero-width and bidirectional marks, fillers, variation selectors, tag characters, lone surrogates, private use,
# non-characters. With them two signs that NFKC would glue to a name ("Apple™" to "AppleTM"), and two Arabic ligatures
# that it would blow up to eighteen characters.
_NOISE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2120\u2122\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufdfa\ufdfb\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U000f0000-\U0010ffff]"
)
# Letters of other alphabets that look like Latin ones. A word that mixes alphabets is a disguise, a bad scan or a slip
# of the keyboard where all its foreign letters are such; words that are Russian or Greek throughout stay.
_ALIKE = str.maketrans(
    "асеорхуіјѕһАВСЕНІЈКМОРЅТХУνηοΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aceopxyijshABCEHIJKMOPSTXYvnoABEZHIKMNOPTYX",
)
_FOREIGN = re.compile("[\u0370-\u04ff]")
_WORD = re.compile("[A-Za-z\u0300-\u04ff]+")
_ASCII = re.compile("[A-Za-z]")
_LATIN = re.compile(r"[A-Za-z\u0300-\u036f]+")
# A long run of marks: normalising it takes quadratic time, and no language writes more than a few on one letter.
_PILE = re.compile(r"[^\w\s\x00-\x7f]{16,}")


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_BLOCKS = _names(
    "address article aside audio blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li link main menu meta nav "
    "ol optgroup option p pre search section select summary table tbody td textarea tfoot th thead title tr ul video"
)
_INLINE = _names(
    "a abbr acronym applet area b base basefont bdi bdo big blink button canvas cite code col colgroup data datalist "
    "del dfn em embed font i img input ins kbd keygen label map mark marquee math meter nobr noframes object output "
    "param picture progress q rp rt ruby s samp slot small source span strike strong sub sup time track tt u var wbr"
)
_SILENT = _names("iframe noscript script style svg template")
_ELEMENTS = _BLOCKS | _INLINE | _SILENT

# One token: the start of a comment, a declaration, or a tag. A tag holds no "<", so each character is looked at a
# bounded number of times; one that does is left for the next round, when the tag inside it is gone.
_TOKEN = re.compile(
    r"""<(?:(?P<comment>!--)
          | [!?][a-zA-Z][^<>]*+>
          | (?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]*+)(?=[\s/>])
            (?: (?:[^<>"']|"[^"<]*+"|'[^'<]*+')*+> | [^<>]*+> ) )""",
    re.VERBOSE,
)
_ENTITY = re.compile(r"&(?:#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6})|[a-zA-Z][a-zA-Z0-9]{1,31});")
_MARKUP = re.compile("[<&]")
_ROUNDS = 5


def clean(raw: str) -> str:
    """Return the text in its plain form: one line, single spaces, NFKC, no markup, nothing invisible.

    - HTML elements go; those that break a line leave a space, scripts and styles go with what they hold. What only
      looks like HTML stays: "EPS < 0.5 & rising", "<Apple>", an unclosed "<b".
    - Entities are resolved, also where they were encoded twice, and what comes out is cleaned again: "&lt;p&gt;" is a
      paragraph. Only entities that end in ";" count, so that "?a=1&copy=2" stays.
    - A Cyrillic or Greek letter in a Latin word becomes the Latin one that it looks like.
    - All white space, paragraph breaks too, becomes one space: a name broken over two lines is one name.

    Whatever is given, `clean(clean(x)) == clean(x)`. Time is linear: markup nested deeper than five encodings or tags
    within tags is nobody's news and loses its "<" and "&". The result may be longer than what was given (NFKC spells
    "㌀" out), by a factor of six at most for each round that resolves something.
    """
    text = raw
    for _ in range(_ROUNDS):
        plain = text = _tidy(text)
        if "<" in text:
            text = _without_tags(text)
        if "&" in text:
            text = _ENTITY.sub(_resolve, text)
        if text == plain:
            return text
    return _tidy(_MARKUP.sub(" ", _tidy(text)))


def _tidy(text: str) -> str:
    text = _NOISE.sub("", text)
    if not text.isascii():
        text = _PILE.sub(_flatten, text)
        text = unicodedata.normalize("NFKC", text)
        text = _PILE.sub(_flatten, text)
        if _FOREIGN.search(text):
            text = unicodedata.normalize("NFKC", _WORD.sub(_latin, text))
    return " ".join(text.split())


def _latin(word: re.Match[str]) -> str:
    folded = word[0].translate(_ALIKE)
    return folded if _LATIN.fullmatch(folded) and _ASCII.search(word[0]) else word[0]


def _flatten(pile: re.Match[str]) -> str:
    return "".join(char for char in pile[0] if not unicodedata.combining(char))


def _without_tags(text: str) -> str:
    if "<![CDATA[" in text:
        text = text.replace("<![CDATA[", " ").replace("]]>", " ")
    tokens = [token for token in _TOKEN.finditer(text) if _is_markup(token)]
    closes = {_name(token): token.start() for token in tokens if token["end"]}  # where each is closed last
    last_comment = text.rfind("-->")
    kept: list[str] = []
    here = 0  # what lies before is done
    silent = ""  # the element whose contents are being left out
    for token in tokens:
        name, start = _name(token), token.start()
        unheard = silent and not (name == silent and token["end"])
        if start < here or unheard or (token["comment"] and start > last_comment):
            continue
        if not silent:
            kept.append(text[here:start])
        here = text.index("-->", start) + 3 if token["comment"] else token.end()
        silent = name if name in _SILENT and not token["end"] and closes.get(name, 0) > start else ""
        if name not in _INLINE:
            kept.append(" ")
    kept.append(text[here:])
    return "".join(kept)


def _name(token: re.Match[str]) -> str:
    return (token["name"] or "").lower()


def _is_markup(token: re.Match[str]) -> bool:
    name = _name(token)
    return not name or name in _ELEMENTS or ":" in name or "-" in name


def _resolve(entity: re.Match[str]) -> str:
    name = entity[0]
    return unescape(name) if name[1] == "#" else html5.get(name[1:], name)
