"""What makes an article the same article: its id, and the digest by which a changed text is seen."""

from __future__ import annotations

import hashlib

from monitor.types import ArticleId, SourceId

RULE = 1  # the version of the rule below, and the first byte of every id made by it


def article_id(source: SourceId, *, guid: str | None, link: str | None, text: str) -> ArticleId:
    """Return the id, 32 hexadecimal digits: `01`, then 15 bytes of a sha256 over the source and what identifies.

    That is the guid; lacking one, the link; lacking both, the normalised text. White space around a guid or link does
    not count. Reading the article again, anywhere and any time, gives the same id. Which of the three was used is part
    of the hash and each field is preceded by its length, so nothing collides by being put together differently.
    """
    guid, link = (guid or "").strip(), (link or "").strip()
    if guid:
        fields = (source, "guid", guid)
    elif link:
        fields = (source, "link", link)
    else:
        fields = (source, "text", text)
    return ArticleId(f"{RULE:02x}{_hash(*fields).hexdigest()[2:32]}")


def digest(title: str, text: str) -> str:
    """Return the sha256 of title and text, 64 hexadecimal digits: the same id with another digest is a revision."""
    return _hash(title, text).hexdigest()


def _hash(*fields: str) -> hashlib._Hash:
    total = hashlib.sha256()
    for field in fields:
        data = field.encode("utf-8", "surrogatepass")  # a guid may hold anything
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total
