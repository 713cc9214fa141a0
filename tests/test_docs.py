"""What the documents say is what the code reads."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from monitor import config
from monitor.core.entities.watchlist import Company, Watchlist
from monitor.delivery.targets.webhook import sign
from monitor.types import EntityId
from trainer.config import read_recipe

ROOT = Path(__file__).parent.parent
Row: TypeAlias = tuple[str, str]  # key and default, as the document writes them

SECTIONS: Mapping[str, type[BaseModel]] = {
    "[store]": config.StoreSection,
    "[model]": config.ModelSection,
    "[api]": config.ApiSection,
    "[detect]": config.DetectSection,
    "[watchlist]": config.WatchlistSection,
    "[http]": config.HttpSection,
    "[limits]": config.LimitsSection,
    "[log]": config.LogSection,
    "[metrics]": config.MetricsSection,
    "[canary]": config.CanarySection,
    "source feed": config.FeedSource,
    "source push": config.PushSource,
    "source archive": config.ArchiveSource,
    "[export]": config.ExportSection,
    "source kafka": config.KafkaSource,
    "target kafka": config.KafkaTarget,
    "sasl": config.SaslSection,
    "tls": config.TlsSection,
    "target log": config.LogTarget,
    "target webhook": config.WebhookTarget,
    "target alertmanager": config.AlertmanagerTarget,
    "[[route]]": config.RouteSection,
    "match": config.Match,
}


def documented() -> Mapping[str, list[Row]]:
    tables: dict[str, list[Row]] = {}
    title = table = ""
    for line in read("docs/configuration.md").splitlines():
        if heading := re.match(r"#+ (kind )?`([^`]+)`$", line):
            table = table if heading[1] else heading[2].strip("[]")
            title = f"{table} {heading[2]}" if heading[1] else heading[2]
        elif line.startswith("#"):
            title = ""
        elif title and (row := re.match(r"\| `(\w+)` \| (.+?) \|", line)):
            tables.setdefault(title, []).append((row[1], row[2]))
    return tables


def means(field: FieldInfo, written: str) -> bool:
    """Say whether the default that the document writes is the field's own."""
    if field.is_required():
        return written == "required"
    if field.default is None:
        return written == "none"
    value = json.loads(written.strip("`"))
    if isinstance(field.default, (timedelta, float)):
        value = config.duration(value) if isinstance(field.default, timedelta) else config.rate(value)
        return bool(value == field.default)
    if isinstance(field.default, BaseModel):
        return bool(type(field.default)(**value) == field.default)
    return list(value) == list(field.default) if isinstance(value, list) else bool(value == field.default)


def test_every_section_and_no_other_is_documented() -> None:
    assert set(documented()) == set(SECTIONS)
    tables = {each.removesuffix("Section").lower() for each in vars(config) if each.endswith("Section")}
    assert tables - {""} <= {name.strip("[]") for name in SECTIONS}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_documented_with_its_default(title: str) -> None:
    fields = SECTIONS[title].model_fields
    rows = documented()[title]
    assert sorted(key for key, _ in rows) == sorted(fields)
    assert [key for key, default in rows if not means(fields[key], default)] == []


def toml_blocks(kind: str) -> list[Any]:
    """Return the READMEs' TOML blocks of a kind: `company`, `heads` or, for a configuration, `source`."""
    return [
        pytest.param(block, id=f"{name}-{number}")
        for name in ("README.md", "README.zh-CN.md")
        for number, block in enumerate(re.findall(r"```toml\n(.*?)```", read(name), flags=re.DOTALL))
        if re.search(rf"^\[+{kind}", block, flags=re.MULTILINE)
    ]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


EXAMPLES = [pytest.param(read(f"deploy/examples/{name}.toml"), id=name) for name in ("newsquake", "kafka")]


@pytest.mark.parametrize("text", [*toml_blocks("source"), *EXAMPLES])
def test_every_printed_configuration_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "newsquake.toml"
    file.write_text(text, encoding="utf-8")
    loaded = config.load(file)
    assert loaded.source
    assert loaded.route


def test_the_printed_receiver_accepts_what_is_signed_and_nothing_else() -> None:
    printed: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL)[0], printed)
    key, now, body = b"thirty-two bytes, or any number..", datetime.now(UTC), b'{"version": 1}'
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = {"webhook-id": "incident.opened", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = sign(key, headers["webhook-id"], now, body)
    assert printed["verify"](secret, headers, body)
    assert not printed["verify"](secret, headers, body + b" ")
    hour_old = {**headers, "webhook-timestamp": str(int(now.timestamp()) - 3600)}
    hour_old["webhook-signature"] = sign(key, headers["webhook-id"], now - timedelta(hours=1), body)
    assert not printed["verify"](secret, hour_old, body)


def test_both_readmes_print_the_same_commands_and_configurations() -> None:
    def code(name: str) -> list[str]:
        blocks = re.findall(r"```(?:sh|toml|python)\n(.*?)```", read(name), flags=re.DOTALL)
        return [re.sub(r"\s*#.*", "", block) for block in blocks]  # comments are translated

    assert code("README.md") == code("README.zh-CN.md")


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


@pytest.mark.parametrize("text", toml_blocks("company"))
def test_every_printed_watchlist_is_complete(text: str) -> None:
    assert len(Watchlist.merge([Watchlist.parse_toml(text, "README")])) == 2


def test_the_documented_watchlist_is_the_same_in_toml_and_csv_and_has_every_key() -> None:
    section = read("docs/configuration.md").split("## The watchlist")[1]
    [toml], [table] = (re.findall(rf"```{kind}\n(.*?)```", section, flags=re.DOTALL) for kind in ("toml", "csv"))
    first, second = Watchlist.parse_toml(toml, "docs"), Watchlist.parse_csv(table, "docs")
    assert [replace(company, where="") for company in first.companies] == [
        replace(company, where="") for company in second.companies
    ]
    assert re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE) == table.splitlines()[0].split(",")
    assert {field.name for field in fields(Company)} - {"where"} == set(table.splitlines()[0].split(","))


def test_the_shipped_watchlists_load() -> None:
    examples = ROOT / "deploy" / "examples"
    toml = Watchlist.parse_toml((examples / "watchlist.toml").read_text(encoding="utf-8"), "watchlist.toml")
    table = Watchlist.parse_csv((examples / "suppliers.csv").read_text(encoding="utf-8"), "suppliers.csv")
    merged = Watchlist.merge([toml, table])
    assert merged.ancestors(EntityId("acme")) == ("acme-group",)
    assert merged.ancestors(EntityId("bolt-batteries")) == ("bolt",)
    replayed = Watchlist.parse_toml(read("benchmarks/detection/watchlist_2018_2020.toml"), "watchlist_2018_2020.toml")
    assert len(Watchlist.merge([replayed])) >= 40
    assert {"boeing", "huawei", "thomas-cook", "wirecard", "hertz"} <= {one.id for one in replayed.companies}


@pytest.mark.parametrize("text", toml_blocks("heads"))
def test_every_printed_recipe_is_one(text: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    assert read_recipe(file).data
