"""Rows for every table there is, with a value of each kind that is hard to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, LargeBinary, SmallInteger, String, select
from sqlalchemy.types import TypeEngine

from monitor.store.engine import locate, reading, writing
from monitor.store.schema import HexId, Moment, Name, metadata
from tests.samples import MINUTE, T0, hex_id

Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def value(column: Column[Any], number: int) -> Any:
    """Return a value for a column; those of two numbers differ."""
    kind: TypeEngine[Any] = column.type
    if isinstance(kind, Name):
        kind = kind.impl_instance
    if isinstance(kind, HexId):
        return hex_id(f"{column.name}-{number}")
    if isinstance(kind, Moment):
        return T0 + number * MINUTE
    if isinstance(kind, Boolean):
        return number % 2 == 0
    if isinstance(kind, BigInteger):
        return (-1) ** number * (2**63 - 1 - number) if column.name != "id" else 1_000 + number
    if isinstance(kind, SmallInteger | Integer):
        return 1_000 + number
    if isinstance(kind, Float):
        return 1e-300 * (number + 1)
    if isinstance(kind, JSON):
        return {"艾": [number, None, 0.1, "\u2028\U0001f600", "\u0000"], "": {}}
    if isinstance(kind, LargeBinary):
        return bytes([number, 0, 255])
    assert isinstance(kind, String), kind
    return f"{number}é艾'\\%"[: kind.length]


async def fill(url: str, rows: int = 3) -> None:
    """Put rows into every table."""
    engine = writing(locate(url))
    async with engine.begin() as connection:
        for table in metadata.sorted_tables:
            made = [{column.name: value(column, number) for column in table.columns} for number in range(rows)]
            await connection.execute(table.insert(), made)
    await engine.dispose()


async def everything(url: str) -> Tables:
    """Return all rows of every table, as the schema reads them, in the order of their keys."""
    engine = reading(locate(url))
    found = {}
    async with engine.connect() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(select(table))).mappings()
            found[table.name] = sorted(
                map(dict, rows), key=lambda row: [repr(row[column.name]) for column in table.primary_key]
            )
    await engine.dispose()
    return found
