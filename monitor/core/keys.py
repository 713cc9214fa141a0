"""What is watched, as a key: a company, a topic, a source, everything, or a combination the operator named."""

from __future__ import annotations

from monitor.types import EntityId, Key, SourceId

ALL = Key("all")
CROSS = "×"


def entity_key(entity: EntityId) -> Key:
    """Return the key of a company: `entity:<id>`."""
    return Key(f"entity:{entity}")


def topic_key(topic: str) -> Key:
    """Return the key of a topic: `topic:<name>`."""
    return Key(f"topic:{topic}")


def source_key(source: SourceId) -> Key:
    """Return the key of a source: `source:<id>`."""
    return Key(f"source:{source}")


def combined(entity: EntityId, topic: str) -> Key:
    """Return the key of a company within a topic: `entity:<id>×topic:<name>`."""
    return Key(f"{entity_key(entity)}{CROSS}{topic_key(topic)}")


def entity_of(key: Key) -> EntityId | None:
    """Return the company of a key, also of a combined one; None where it is about none."""
    kind, _, name = key.partition(CROSS)[0].partition(":")
    return EntityId(name) if kind == "entity" else None


def group_of(key: Key) -> str:
    """Return the group whose season and dispersion a key shares: `entity`, `topic`, `source`, `all`, `entity×topic`."""
    return CROSS.join(part.partition(":")[0] for part in key.split(CROSS))


def name_of(key: Key) -> str:
    """Return the key without its kind, for people: `Acme`, `Legal | Regulation`, `acme×Earnings`, `all`."""
    return CROSS.join(part.partition(":")[2] or part for part in key.split(CROSS))
