"""The configuration file: what may stand in it, what it means, and plain messages where it is wrong.

Only `app` and `cli` import this; each adapter is handed its own section. `NEWSQUAKE_<SECTION>_<KEY>` in the environment
overrides a key of a section (`NEWSQUAKE_STORE_URL`). Relative paths count from the folder of the file.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from datetime import timedelta
from fnmatch import translate
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from monitor.calendars import ZONES
from monitor.errors import ConfigurationError

UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
UNITS |= {"d": 86400, "day": 86400, "week": 604800, "w": 604800, "month": 2629800, "year": 31557600}
PREFIX = "NEWSQUAKE_"
MEGABYTE = 1_000_000
LONGEST = timedelta(days=36525)  # a century
CANARY = "canary"  # as in core.canary


def duration(value: object) -> object:
    """Read `"400 days"`, `"5 min"`, `"1.5 h"` as a timedelta; leave what is not text to pydantic."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", value.lower())
    word = found[2] if found else ""
    unit = UNITS.get(word) or (len(word) > 2 and UNITS.get(word.removesuffix("s")))  # "days", but not "ms"
    if not found or not unit:
        raise ValueError('expected a time such as "30 s", "5 min", "6 h" or "400 days"')
    try:
        return timedelta(seconds=float(found[1]) * unit)
    except OverflowError as error:
        raise ValueError("expected a time that a calendar can hold") from error


def some_time(value: timedelta) -> timedelta:
    """Refuse no time at all, less, and more than a date can be set back by."""
    if not timedelta(0) < value <= LONGEST:
        raise ValueError(f"expected more than no time at all, and at most {LONGEST.days} days")
    return value


def rate(value: object) -> object:
    """Read `"1 per week"` as a number of incidents per week."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:per|a|an|/)\s*(hour|day|week|month|year)\s*", value.lower())
    if not found or float(found[1]) <= 0:
        raise ValueError('expected a budget such as "1 per week", "2 per month" or "1 per day"')
    return float(found[1]) * UNITS["week"] / UNITS[found[2]]


def glob(value: str) -> str:
    """Refuse a pattern that cannot be compiled, at load and not at the first alert."""
    re.compile(translate(value))
    return value


def secret_reference(value: str) -> str:
    """Accept only a reference to a secret, never the secret itself."""
    if not re.fullmatch(r"(env|file):.+", value):
        raise ValueError("expected a reference: env:NAME or file:PATH (the secret itself never stands here)")
    return value


def exchange(value: str) -> str:
    """Refuse an exchange whose days off nobody knows."""
    if value not in ZONES:
        raise ValueError(f"expected the market identifier code of an exchange: one of {', '.join(ZONES)}")
    return value


def listed(value: object) -> object:
    """Take a single name for a list of one."""
    return (value,) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(duration), AfterValidator(some_time)]
PerWeek = Annotated[float, BeforeValidator(rate), Field(gt=0, allow_inf_nan=False)]
Exchange = Annotated[str, AfterValidator(exchange)]
Glob = Annotated[str, AfterValidator(glob)]
Secret = Annotated[str, AfterValidator(secret_reference)]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Brokers = Annotated[str, Field(pattern=r"^\s*[^\s,:/]+(:\d{1,5})?(\s*,\s*[^\s,:/]+(:\d{1,5})?)*\s*$")]
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """A table of the file. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSection(Section):
    """`[store]`: the database."""

    url: str = Field("sqlite:///newsquake.db", description="`sqlite:///FILE` or `postgresql://…`")
    password: Secret | None = Field(None, description="`env:NAME` or `file:PATH`: PostgreSQL's, where the URL has none")
    retention: Duration = Field(
        timedelta(days=400), description="how long article texts are kept; rollups and incidents stay"
    )


class ModelSection(Section):
    """`[model]`: the model that judges."""

    default: str = Field("builtin", description="`builtin`, `path:DIR`, `package:NAME` or `hub:ORG/NAME[@REVISION]`")
    zh: str | None = Field(None, description="the same for texts in Chinese; left out, `default` judges them too")
    threads: int = Field(0, ge=0, description="CPU threads of the model; 0 takes one for each core")
    labels: dict[str, Literal["negative", "neutral", "positive"]] = Field(
        {}, description="what the labels of a checkpoint of others mean, where they bear other names"
    )
    rescore: Duration = Field(
        timedelta(days=30), description="how far back a newly promoted model judges the past before it serves"
    )

    @property
    def reference(self) -> str:
        """What serves, as one reference: the model for all texts, or those by language."""
        return self.default if self.zh is None else f"{self.default},zh={self.zh}"


class ApiSection(Section):
    """`[api]`: the HTTP interface."""

    bind: str = Field("127.0.0.1:8080", description="address and port; 0 picks a free port")
    hosts: tuple[str, ...] = Field((), description="further names under which browsers may reach it")
    external_url: Url | None = Field(None, description="where people reach it; links in messages lead there")
    max_body: int = Field(10 * MEGABYTE, gt=0, description="bytes of a request's body; more is answered 413")


class DetectSection(Section):
    """`[detect]`: the budget and the guards."""

    false_alarms: PerWeek = Field(1.0, description="false incidents you can live with, over everything watched")
    blind_alarms: PerWeek = Field(1.0, description="the same for `blind` incidents")
    min_stories: int = Field(3, ge=1, description="distinct negative stories a surge needs")
    min_publishers: int = Field(2, ge=1, description="independent publishers a surge needs")
    trusted_publishers: tuple[str, ...] = Field((), description="publishers that may raise an alert alone")
    lateness: Duration = Field(
        timedelta(hours=6), description="how old news may be at hand-over and still raise an alert"
    )
    calendar: Annotated[tuple[Exchange, ...], BeforeValidator(listed)] = Field(
        (), description='exchanges whose holidays the news keeps, such as `XNYS` or `["XSHG", "XHKG"]`'
    )
    combinations: tuple[Literal["entity×topic"], ...] = Field((), description="further keys to watch")


class WatchlistSection(Section):
    """`[watchlist]`: the companies."""

    files: tuple[Path, ...] = Field((), description="TOML or CSV files")


class HttpSection(Section):
    """`[http]`: how newsquake reaches out."""

    allow_private: tuple[str, ...] = Field(
        (), description="hosts, addresses or networks of the house's own that may be fetched or called"
    )


class LimitsSection(Section):
    """`[limits]`: bounds that keep the daemon small."""

    text: int = Field(1_000_000, gt=0, description="characters of an article; a longer one is a dead letter")
    queue: int = Field(2_000, ge=10, description="items waiting in memory before a source is slowed down")
    drain: Duration = Field(timedelta(seconds=20), description="how long a stopping daemon finishes what it holds")


class LogSection(Section):
    """`[log]`: the log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class MetricsSection(Section):
    """`[metrics]`: Prometheus, and the sign of life for those without it."""

    max_keys: int = Field(500, ge=0, description="keys that /metrics shows; those with an open incident come first")
    prometheus: Url | None = Field(None, description="the Prometheus that reads us; only `newsquake check` asks it")
    heartbeat_url: Url | None = Field(None, description="called again and again while the daemon is well")
    heartbeat_interval: Duration = Field(timedelta(minutes=1), description="time between two calls")


class SaslSection(Section):
    """`sasl`: how to sign in at Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str
    password: Secret = Field(description="`env:NAME` or `file:PATH`")


class TlsSection(Section):
    """`tls`: PEM files; an empty table trusts whom the system trusts."""

    ca: Path | None = Field(None, description="who vouches for the brokers")
    certificate: Path | None = Field(None, description="our own certificate, where the brokers ask for one")
    key: Path | None = Field(None, description="its key")


class KafkaCluster(Section):
    """What every table that names a Kafka cluster holds."""

    brokers: Brokers = Field(description="`host:port`, or several with commas between")
    sasl: SaslSection | None = Field(None, description="how to sign in; left out, nobody signs in")
    tls: TlsSection | None = Field(None, description="how to encrypt; left out, nothing is encrypted")


class ExportSection(KafkaCluster):
    """`[export]`: scored articles and dead letters to topics."""

    scored: TopicName | None = Field(None, description="the topic for scored articles")
    dead_letters: TopicName | None = Field(None, description="the topic for dead letters")

    @property
    def topics(self) -> dict[str, str]:
        """The topic of each kind of records that is exported; a kind is named as its key here is."""
        named = {"scored": self.scored, "dead_letters": self.dead_letters}
        return {kind: topic for kind, topic in named.items() if topic is not None}


class CanarySection(Section):
    """`[canary]`: articles of our own that are planted to measure the whole way."""

    every: Duration = Field(timedelta(hours=6), description="time between two plantings")
    within: Duration = Field(timedelta(minutes=5), description="how long the way may take before it is told as blind")
    languages: tuple[Literal["en", "zh"], ...] = Field(
        ("en",), min_length=1, description="the languages of the articles that are planted"
    )


class FeedSource(Section):
    """A `[[source]]` of kind `feed`: RSS or Atom over HTTP."""

    kind: Literal["feed"]
    id: Name
    url: Url
    interval: Duration = Field(timedelta(minutes=5), description="time between two polls")


class PushSource(Section):
    """A `[[source]]` of kind `push`: what is posted to `/api/v1/articles`."""

    kind: Literal["push"]
    id: Name


class ArchiveSource(Section):
    """A `[[source]]` of kind `archive`: files read once, as history."""

    kind: Literal["archive"]
    id: Name
    path: Path = Field(description="a JSONL, JSONL.gz or CSV file, or a folder of them")
    fields: dict[str, str] = Field({}, description="which column holds `title`, `text`, `url`, `published`, …")


class KafkaSource(KafkaCluster):
    """A `[[source]]` of kind `kafka`: a topic whose records are JSON objects."""

    kind: Literal["kafka"]
    id: Name
    topic: TopicName
    group: str = Field("newsquake", min_length=1, description="the consumer group that is told how far we are")
    start: Literal["earliest", "latest"] = Field(
        "earliest", description="whether what was there before the first look is read, as history, or skipped"
    )
    fields: dict[str, str] = Field(
        {}, description="where a record holds `title`, `text`, `url`, `id`, `publisher`, `published`, `language`"
    )


AnySource = Annotated[FeedSource | PushSource | ArchiveSource | KafkaSource, Field(discriminator="kind")]


class LogTarget(Section):
    """A `[[target]]` of kind `log`: incidents in the daemon's own log."""

    kind: Literal["log"]
    id: Name


class WebhookTarget(Section):
    """A `[[target]]` of kind `webhook`: signed as Standard Webhooks says."""

    kind: Literal["webhook"]
    id: Name
    url: Url
    secret: Secret | None = Field(None, description="`env:NAME` or `file:PATH`; without one, nothing is signed")


class AlertmanagerTarget(Section):
    """A `[[target]]` of kind `alertmanager`: incidents as alerts, shown for as long as they are open."""

    kind: Literal["alertmanager"]
    id: Name
    url: Url = Field(description="without `/api/v2`")
    peers: tuple[Url, ...] = Field((), description="the other members of its cluster; each is told everything")
    labels: dict[LabelName, str] = Field({}, description="further labels of every alert")
    bearer: Secret | None = Field(None, description="`env:NAME` or `file:PATH` of a token")
    username: str | None = None
    password: Secret | None = Field(None, description="`env:NAME` or `file:PATH`")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("expected username and password together, or neither")
        if self.bearer is not None and self.username is not None:
            raise ValueError("expected a bearer token, or username and password, not both")
        return self


class KafkaTarget(KafkaCluster):
    """A `[[target]]` of kind `kafka`: incidents to a topic."""

    kind: Literal["kafka"]
    id: Name
    topic: TopicName


AnyTarget = Annotated[LogTarget | WebhookTarget | AlertmanagerTarget | KafkaTarget, Field(discriminator="kind")]


class Match(Section):
    """What a route takes; an empty list takes all."""

    keys: tuple[Glob, ...] = Field((), description="patterns such as `entity:*` or `topic:Energy*`")
    severity: tuple[Literal["low", "medium", "high", "critical"], ...] = ()
    language: tuple[str, ...] = Field((), description="language of the leading headline: `en`, `zh`, …")
    kind: tuple[Literal["surge", "blind"], ...] = ()


class RouteSection(Section):
    """A `[[route]]`: which incidents go to which targets."""

    targets: tuple[Name, ...] = Field(min_length=1)
    match: Match = Match()


class Config(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1
    )

    store: StoreSection = StoreSection()
    model: ModelSection = ModelSection()
    api: ApiSection = ApiSection()
    detect: DetectSection = DetectSection()
    watchlist: WatchlistSection = WatchlistSection()
    http: HttpSection = HttpSection()
    limits: LimitsSection = LimitsSection()
    log: LogSection = LogSection()
    metrics: MetricsSection = MetricsSection()
    export: ExportSection | None = None
    canary: CanarySection | None = None
    source: tuple[AnySource, ...] = ()
    target: tuple[AnyTarget, ...] = ()
    route: tuple[RouteSection, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, and nothing else speak."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for table, entries in (("source", self.source), ("target", self.target)):
            ids = [entry.id for entry in entries]
            for id_ in ids:
                if ids.count(id_) > 1:
                    raise ValueError(f"{table}: the id {id_!r} is given {ids.count(id_)} times; each needs its own")
        if any(source.id == CANARY for source in self.source):
            raise ValueError(f"source: the id {CANARY!r} is kept for what newsquake plants itself; give it another one")
        known = {target.id for target in self.target}
        for number, route in enumerate(self.route):
            for name in route.targets:
                if name not in known:
                    raise ValueError(f"route[{number}].targets: there is no target {name!r}{nearest(name, known)}")
        return self


def load(path: Path) -> Config:
    """Read a configuration file. Raise ConfigurationError, naming file and key or line, for whatever is wrong."""
    text = read_text(path, "configuration")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
    try:
        config = Config(**data)
    except SettingsError as error:
        raise ConfigurationError(f"{_unreadable(error)}: expected JSON for a list or a table") from error
    except ValidationError as error:
        found = [f"{_origin(entry['loc']) or path}: {_problem(entry)}" for entry in error.errors(include_url=False)]
        raise ConfigurationError("\n".join(found)) from error
    return _from_folder(config, path.resolve().parent)


def read_text(path: Path, kind: str) -> str:
    """Return the text of a file that the operator wrote. Raise ConfigurationError where it cannot be read as one."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the {kind} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8; a {kind} is UTF-8 text") from error


def reveal(reference: str, where: str) -> str:
    """Return the secret that `env:NAME` or `file:PATH` points to. The error names the reference, never the secret."""
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        if name not in os.environ:
            raise ConfigurationError(f"{where}: {reference}: the environment has no variable {name}")
        return os.environ[name]
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{where}: {reference}: cannot read the secret ({error})") from error


def _unreadable(error: SettingsError) -> str:
    """Return which variables of the environment may be what pydantic-settings could not read: it names the section."""
    named = re.search(r'field "(\w+)"', str(error))
    prefix = f"{PREFIX}{named[1] if named else ''}".upper()
    return ", ".join(sorted(name for name in os.environ if name.upper().startswith(prefix)))


def _origin(location: tuple[int | str, ...]) -> str | None:
    """Return the variable of the environment that said what stands at a place; None where the file did."""
    section, key = f"{PREFIX}{''.join(map(str, location[:1]))}".lower(), "".join(map(str, location[1:2]))
    for name, value in os.environ.items():
        if name.lower() == f"{section}_{key}" or (name.lower() == section and (key.isdigit() or key in value)):
            return name
    return None


def nearest(name: str, known: object) -> str:
    """Return `; did you mean 'x'?` for the known name that is nearest, or what is known where none is near."""
    names = sorted(str(each) for each in known) if isinstance(known, (set, dict, list, tuple, frozenset)) else []
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(names)}" if names else ""


def _problem(entry: Any) -> str:
    """Say what pydantic found in the file's own words: key, what was found, what is expected."""
    tagged = entry["loc"][:1] in (("source",), ("target",))  # then the third part tells the kind: it is no key
    location = [part for place, part in enumerate(entry["loc"]) if not (tagged and place == 2)]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    match entry["type"]:
        case "extra_forbidden":
            known = _fields_at(entry["loc"][:-1])
            return f"{key}: unknown key{nearest(str(location[-1]), known)}"
        case "missing":
            return f"{key}: this key is missing"
        case "union_tag_invalid":
            found, known = entry["ctx"]["tag"], entry["ctx"]["expected_tags"]
            return f"{key}.kind: found {found!r}; expected one of {known}"
        case "union_tag_not_found":
            return f"{key}.kind: this key is missing"
    message = entry["msg"].removeprefix("Value error, ")
    if not key:
        return str(message)
    if SECRETIVE & set(location):  # it may be the secret itself, or an address that holds one
        return f"{key}: {message}"
    return f"{key}: found {_shown(entry['input'])}; {message[0].lower()}{message[1:]}"


SECRETS = ("secret", "bearer", "password")
SECRETIVE = {*SECRETS, "url", "peers", "sasl", "heartbeat_url", "prometheus", "external_url"}


def _shown(value: object) -> str:
    """Return a single value as it stands; of a table or a list, which may hold a secret, only what it is."""
    return "a table" if isinstance(value, dict) else "a list" if isinstance(value, (list, tuple)) else repr(value)


_KINDS: dict[tuple[str, str], type[Section]] = {
    (table, get_args(section.model_fields["kind"].annotation)[0]): section
    for table, sections in (("source", AnySource), ("target", AnyTarget))
    for section in get_args(get_args(sections)[0])
}


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand at a place of the file."""
    model: type[BaseModel] = Config
    for part in location:
        if (location[0], part) in _KINDS:
            model = _KINDS[str(location[0]), str(part)]
        elif part == "route":
            model = RouteSection
        elif part in model.model_fields:
            model = _section_of(model.model_fields[str(part)].annotation) or model
    return list(model.model_fields)


def _section_of(annotation: object) -> type[BaseModel] | None:
    """Return the section that a key holds, also where it may be left out; None where it holds something else."""
    choices = get_args(annotation) or (annotation,)
    return next((each for each in choices if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _from_folder(config: Config, folder: Path) -> Config:
    """Let relative paths count from the configuration's folder, and put the database's password in its place."""
    url = config.store.url
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
    sources = tuple(_source_from_folder(source, folder) for source in config.source)
    files = tuple(folder / file for file in config.watchlist.files)
    targets = tuple(target.model_copy(update=_target_from_folder(target, folder)) for target in config.target)
    return config.model_copy(
        update={
            "store": _signed_in(config.store.model_copy(update={"url": url, **_placed_secrets(config.store, folder)})),
            "watchlist": config.watchlist.model_copy(update={"files": files}),
            "model": config.model.model_copy(update=_placed_models(config.model, folder)),
            "source": sources,
            "target": targets,
            "export": config.export and config.export.model_copy(update=_kafka_from_folder(config.export, folder)),
        }
    )


def _placed_models(section: ModelSection, folder: Path) -> dict[str, str]:
    given = {"default": section.default, "zh": section.zh}
    return {key: _placed(reference, "path:", folder) for key, reference in given.items() if reference}


def _source_from_folder(source: AnySource, folder: Path) -> AnySource:
    match source:
        case ArchiveSource():
            return source.model_copy(update={"path": folder / source.path})
        case KafkaSource():
            return source.model_copy(update=_kafka_from_folder(source, folder))
    return source


def _target_from_folder(target: AnyTarget, folder: Path) -> dict[str, Any]:
    if isinstance(target, KafkaTarget):
        return dict(_kafka_from_folder(target, folder))
    return dict(_placed_secrets(target, folder))


def _kafka_from_folder(section: KafkaCluster, folder: Path) -> dict[str, Section]:
    update: dict[str, Section] = {}
    if section.sasl is not None:
        password = _placed(section.sasl.password, "file:", folder)
        update["sasl"] = section.sasl.model_copy(update={"password": password})
    if section.tls is not None:
        files = {name: folder / file for name, file in section.tls if file is not None}
        update["tls"] = section.tls.model_copy(update=files)
    return update


def _signed_in(store: StoreSection) -> StoreSection:
    """Return the section with the password, if one is referred to, in the URL."""
    if store.password is None:
        return store
    scheme, _, rest = store.url.partition("://")
    authority, _, database = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not scheme.startswith("postgresql") or not at or ":" in user:
        raise ConfigurationError(
            "store.password: expected beside it a store.url such as postgresql://USER@HOST/DATABASE"
        )
    password = quote(reveal(store.password, "store.password"), safe="")
    return store.model_copy(update={"url": f"{scheme}://{user}:{password}@{host}/{database}"})


def _placed(reference: str, scheme: str, folder: Path) -> str:
    name = reference.removeprefix(scheme)
    return f"{scheme}{folder / name}" if name not in ("", reference) else reference


def _placed_secrets(section: Section, folder: Path) -> dict[str, str]:
    given = {name: getattr(section, name, None) for name in SECRETS}
    return {name: _placed(reference, "file:", folder) for name, reference in given.items() if reference}
