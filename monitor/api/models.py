"""The shapes of what the API takes and answers; with the routes, they are the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from monitor.types import Change, IncidentKind, IncidentState, Outcome, Ruling, Severity, Timeliness

KeyState: TypeAlias = Literal["surge", "blind", "learning", "calm", "unwatched"]
KeyOrder: TypeAlias = Literal["name", "mood"]
Label: TypeAlias = Literal["negative", "neutral", "positive"]
Probability = Annotated[float, Field(ge=0, le=1)]
HexId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
PROSE = r"^[^\x00]*$"  # no database keeps NUL in a text
Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=ONE_LINE)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=ONE_LINE)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=PROSE)]
MAX_ARTICLES = 1000  # of one push
EXCERPT = 500  # characters of a text on a page of articles


class Shape(BaseModel):
    """What all shapes have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class Error(Shape):
    """What went wrong, in plain words."""

    status: int = Field(description="The HTTP status again.", examples=[422])
    message: str = Field(examples=["articles[0].title: missing"])
    where: str | None = Field(
        None, description="The place in the request that is wrong.", examples=["articles[0].title"]
    )


class ErrorAnswer(Shape):
    """Every error is answered with this."""

    error: Error


class CheckResult(Shape):
    """One thing that must be well."""

    name: str = Field(examples=["model"])
    ok: bool
    detail: str = Field(description="What is wrong, or how it is.", examples=["loading"])


class Health(Shape):
    """Whether all is well; 200 where it is, 503 where it is not."""

    status: Literal["ok", "unavailable"]
    checks: list[CheckResult]


# --- articles ---


class PushedArticle(Shape):
    """One article handed over, with a title, a text, or both. A field that is not listed here is left aside.

    One that cannot be read becomes a dead letter, and its result says why; the others are not held up by it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Acme Bank under investigation for fraud",
                    "text": "Prosecutors searched the bank's offices on Monday.",
                    "url": "https://news.example/acme",
                    "id": "wire-2041",
                    "published": "2026-03-02T09:30:00Z",
                }
            ]
        }
    )

    title: str | None = None
    text: str | None = Field(None, description="May hold HTML.")
    url: str | None = Field(None, description="Where the article can be read.")
    id: str | None = Field(None, description="Your own stable name for it: handed over again, it is a duplicate.")
    publisher: str | None = Field(None, description="Who wrote it; taken from the url where it is not given.")
    published: str | None = Field(None, description="ISO 8601 with an offset; the time of receipt where not given.")
    language: str | None = Field(None, description="ISO 639-1, such as `en` or `zh`; recognised where not given.")


class Push(Shape):
    """Articles handed over at once."""

    articles: list[PushedArticle] = Field(max_length=MAX_ARTICLES)


class PushBody(Shape):
    """What must hold of a push before its articles are read, one by one."""

    articles: list[JsonValue] = Field(max_length=MAX_ARTICLES)


class PushResult(Shape):
    """How one article ended, after the commit."""

    article_id: str | None = Field(description="null for a dead letter.", examples=["01c8f2d0a1b2c3d4e5f60718293a4b5c"])
    outcome: Outcome
    error: str | None = Field(None, description="Why it is a dead letter.")


class PushResults(Shape):
    """One result for each article, in order. When this is answered, all of it is in the database."""

    results: list[PushResult]


class ArticleSummary(Shape):
    """An article, with the beginning of its text."""

    id: str = Field(examples=["01c8f2d0a1b2c3d4e5f60718293a4b5c"])
    source: str = Field(description="The configured input it came from.", examples=["wire"])
    publisher: str = Field(description="Who wrote it.", examples=["news.example"])
    title: str
    excerpt: str = Field(description="The first 500 characters of the text.")
    link: str | None
    language: str = Field(examples=["en", "zh"])
    published: datetime
    received: datetime
    timeliness: Timeliness = Field(description="`late` news is told once; `history` feeds the baseline only.")
    topics: dict[str, Probability] = Field(examples=[{"Legal | Regulation": 0.93}])
    unjudged: int = Field(description="Companies found beyond the limit of those judged.")
    revisions: int = Field(description="Later versions of its text that were received.")


class Judgement(Shape):
    """What the article means for one key."""

    key: str = Field(examples=["entity:acme"])
    model: str
    entity: str | None = Field(description="The company judged; null where it is the article as a whole.")
    label: Label
    negative: Probability
    neutral: Probability
    positive: Probability
    story: str = Field(description="The story it belongs to under this key: the id of the story's first article.")
    leads: bool = Field(description="Whether it is that first article, the only one that is counted.")
    scored: datetime


class ArticleDetail(ArticleSummary):
    """An article in full, with what it means for each key."""

    text: str
    judgements: list[Judgement]


class Page(Shape):
    """What all pages have in common."""

    next: str | None = Field(description="Give this as `cursor` to get the next page; null on the last.")


class ArticlePage(Page):
    """Articles, the last received first."""

    articles: list[ArticleSummary]


# --- keys ---


class WindowLevel(Shape):
    """What the detector sees in one window that ends now."""

    window: str = Field(examples=["1h"])
    seconds: float
    stories: int
    negative: float = Field(description="Negative stories, each counted by its calibrated probability.")
    expected: float = Field(description="Of them, how many are normal at this hour.")


class Day(Shape):
    """What was counted of a key in the last 24 hours, by the model that serves."""

    stories: int
    negative: int
    mood: float | None = Field(description="Mean of p(positive) − p(negative), −1 to 1; null without stories.")


class KeyLevel(Shape):
    """A key and where its needle stands."""

    key: str = Field(examples=["entity:acme"])
    group: str = Field(description="What kind of thing it is.", examples=["entity", "topic", "source", "all"])
    name: str = Field(examples=["acme"])
    names: dict[str, str] = Field(
        description="What a company is called, by language, where the watchlist says so.",
        examples=[{"en": "Acme Bank", "zh": "艾克米银行"}],
    )
    state: KeyState = Field(description="`unwatched` keys have stories of the last day, but are no longer watched.")
    learning_since: datetime | None
    windows: list[WindowLevel]
    day: Day
    incidents: list[str] = Field(description="Open incidents in which the key has not calmed.")


class KeyPage(Page):
    """Keys, in the order that was asked for."""

    keys: list[KeyLevel]


class Point(Shape):
    """What a key gained in one step, and what is normal."""

    at: datetime = Field(description="When the step begins.")
    stories: int = Field(description="Stories told for the first time.")
    negative: int = Field(description="Of them, the negative ones.")
    weight: float = Field(description="The negative ones, each counted by its calibrated probability.")
    mood: float | None = Field(description="Mean of p(positive) − p(negative), −1 to 1; null without stories.")
    expected: float | None = Field(description="The weight that is normal for the step; null where that is not known.")
    upper: float | None = Field(description="99 of 100 such steps bring no more. Both are by today's baseline.")
    history: int = Field(description="Further stories, read as history: they feed the baseline only.")
    history_negative: int = Field(description="Of those, the negative ones.")


class Series(Shape):
    """One key over time, as one model saw it: two models are never mixed."""

    key: str
    model: str | None = Field(description="The model whose stories these are; null where there are none.")
    models: list[str] = Field(description="All models that have stories in this span.")
    since: datetime
    until: datetime
    step_seconds: float
    points: list[Point] = Field(description="One for each step, also where there was no news.")


# --- incidents ---


class Evidence(Shape):
    """One negative story that an incident rests on."""

    story: str
    title: str
    link: str | None
    publisher: str
    language: str
    published: datetime
    negative: Probability
    copies: int
    publishers: int
    event: str | None = Field(
        description="Stories about one happening have the same; null where it is not known.",
    )


class Explanation(Shape):
    """What makes the surge: each cause's Shapley share of log(observed / expected). They sum to 1."""

    volume: float = Field(description="More stories than normal, whatever their mood.")
    mood: float = Field(description="A larger share of them negative than normal.")
    event: float = Field(description="Many about one event, `loudest_event`.")
    publisher: float = Field(description="Many by one publisher, `loudest_publisher`.")
    model: float = Field(description="Judged by another model than the one that taught what is normal.")
    percent: dict[str, int] = Field(
        description="The same in whole percent, by cause; they sum to 100. A negative share works against the surge.",
        examples=[{"volume": 62, "mood": 21, "event": 17, "publisher": 0, "model": 0}],
    )
    loudest_event: str | None
    loudest_publisher: str | None
    headline: str | None = Field(description="That of the event.")
    stories: int = Field(description="Negative stories in the window; 0 where an older version did not count them.")
    events: int = Field(description="Events that they are about: stories about one happening are one event.")


class Acknowledgement(Shape):
    """Somebody looks into the incident."""

    at: datetime
    by: str
    note: str | None


class Incident(Shape):
    """Signals whose evidence overlaps, told as one."""

    id: str
    kind: IncidentKind
    state: IncidentState
    severity: Severity
    keys: list[str] = Field(description="The first is the key that leads.", examples=[["entity:acme", "all"]])
    active: list[str] = Field(description="Those that have not calmed yet.")
    opened: datetime
    updated: datetime
    resolved: datetime | None
    window_seconds: float
    observed: float = Field(description="Negative stories in the window, each counted by its calibrated probability.")
    expected: float = Field(description="Of them, how many are normal at that hour.")
    chance_per_hour: float = Field(description="How often chance alone brings a window like this.")
    stories: int
    publishers: int
    evidence: list[Evidence]
    late: bool
    model: str
    revision: int
    explanation: Explanation | None = Field(description="Of the figures; null where it is a silence.")
    acknowledged: Acknowledgement | None = Field(description="Who looks into it, since when; the first who said so.")


class Dispatch(Shape):
    """How one message about the incident fares at one target."""

    target: str
    change: Change
    state: Literal["pending", "sent", "rejected"]
    attempts: int
    created: datetime
    due: datetime = Field(description="When it is tried next, while it is pending.")
    ended: datetime | None
    reason: str | None


class Verdict(Shape):
    """What the desk says of an incident, or of one article in it. Labelled data for the next model."""

    verdict: Ruling
    article: str | None = Field(description="null where it is about the incident as a whole.")
    entity: str | None = Field(description="The company it is about; null for the one the incident is about.")
    sentiment: Label | None = Field(description="What it should have been.")
    note: str | None
    by: str
    at: datetime


class IncidentDetail(Incident):
    """An incident, who was told of it, and what the desk says of it."""

    deliveries: list[Dispatch]
    verdicts: list[Verdict] = Field(description="Oldest first; a later one replaces none.")


class AckRequest(Shape):
    """Somebody looks into the incident."""

    by: Person | None = Field(None, description="Who; the token's name, or `local`, where it is not given.")
    note: Note | None = None


class VerdictRequest(Shape):
    """What the desk says of the incident, or of one article in it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"verdict": "wrong_sentiment", "sentiment": "positive", "note": "They won."}]}
    )

    verdict: Ruling = Field(
        description="`false`: no bad news at all. `wrong_company`: it is about another one than `entity`."
    )
    article: HexId | None = Field(None, description="The article it is about, where it is not the incident as a whole.")
    entity: Word | None = Field(None, description="The id of the company it is about, where there are several.")
    sentiment: Label | None = Field(None, description="What it should have been.")
    by: Person | None = Field(None, description="Who says so; the token's name, or `local`, where it is not given.")
    note: Note | None = None


class IncidentPage(Page):
    """Incidents, the last opened first."""

    incidents: list[Incident]


# --- the stream ---


class KeyCounts(Shape):
    """How many keys are watched, by where their needles stand."""

    surge: int
    blind: int
    learning: int
    calm: int


class Pulse(Shape):
    """How the daemon is. Where pulses stay away, or `ticked` falls behind, nobody is watching."""

    at: datetime = Field(description="By the daemon's clock.")
    version: str = Field(examples=["0.1.0"])
    model: str | None = Field(description="The model that serves.")
    ticked: datetime | None = Field(description="The last tick that was decided; one comes every minute.")
    ready: bool = Field(description="Whether what is handed in now would be judged and stored.")
    checks: list[CheckResult]
    keys: KeyCounts
    days: int = Field(
        description="Days watched. Before 30 a cautious rate of false alarms is assumed, then it is learned."
    )
    incidents: int = Field(description="Those that are not resolved.")


class Event(Shape):
    """Something was committed."""

    at: datetime
    subject: str = Field(description="The id of what it is about.")
    incident: Incident | None = Field(description="The incident as it is now, where it is about one.")


# --- sources and scoring ---


class Ledger(Shape):
    """What became of a source's items: received = stored + duplicate + dead + dropped + in_flight."""

    received: int
    stored: int
    duplicate: int
    dead: int
    dropped: int
    in_flight: int


class Position(Shape):
    """How far a source has been read."""

    partition: str
    value: dict[str, JsonValue]


class Source(Shape):
    """A source and how it fares."""

    id: str = Field(examples=["wire"])
    kind: str | None = Field(description="null for a source that is no longer configured.", examples=["feed"])
    last_success: datetime | None = Field(description="When it was last read successfully, since the start.")
    error: str | None = Field(description="What keeps it from being read.")
    blind: bool = Field(description="Whether its silence is too unlikely to be mere calm.")
    ledger: Ledger
    dead_letters: int = Field(description="Items kept because they could not be understood.")
    positions: list[Position]


class SourceList(Shape):
    """All sources, in order of id."""

    sources: list[Source]


class ScoreRequest(Shape):
    """A text to judge."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Acme gains as Brandt slumps on fraud charges.", "entity": "Brandt"}]}
    )

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    entity: str | None = Field(None, description="The company asked about: an id or a name, as it stands in the text.")


class EntityScore(Shape):
    """What the text means for one company of the watchlist that was found in it."""

    id: str
    name: str
    label: str
    probabilities: dict[str, Probability]


class ScoreAnswer(Shape):
    """What the model makes of the text: for the company asked about where there is one, else as a whole."""

    label: str = Field(examples=["negative"])
    probabilities: dict[str, Probability] = Field(examples=[{"negative": 0.91, "neutral": 0.07, "positive": 0.02}])
    topics: dict[str, Probability] = Field(examples=[{"Legal | Regulation": 0.93}])
    entities: list[EntityScore]
    model: str
