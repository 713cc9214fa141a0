"""The command `newsquake`. Each command says what it does and hands over; heavy imports wait until it is called."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitor.errors import NewsquakeError
from monitor.reading import Scope

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""A seismograph for financial news: one trustworthy alert when negative stories surge.

Begin with `newsquake demo`. Then write a newsquake.toml (see docs/configuration.md), try it with
`newsquake check -c newsquake.toml`, and start the daemon with `newsquake run -c newsquake.toml`.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.""",
)
db = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after the database: upgrade, backup, restore.")
app.add_typer(db, name="db")
token = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may call the API: create, list, revoke.")
app.add_typer(token, name="token")

DEFAULT = Path("newsquake.toml")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
ModelReference = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="REFERENCE",
        help="builtin, path:DIR, package:NAME or hub:ORG/NAME; by language: builtin,zh=hub:ORG/NAME.",
    ),
]


class Role(StrEnum):
    """What one process does. The roles for several machines come with Kafka."""

    ALL = "all"


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"newsquake {version('newsquake')}")
        raise typer.Exit


@app.callback()
def newsquake(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def run(
    config: ConfigFile = DEFAULT,
    role: Annotated[Role, typer.Option(help="What this process does: everything.")] = Role.ALL,  # noqa: ARG001
) -> None:
    """Run the daemon: read the sources, judge, watch and tell, until SIGTERM.

    SIGTERM and Ctrl-C finish what is under way (at most `limits.drain`, 20 s by default) and end with 0. SIGHUP reads
    the configuration again; a file with a mistake in it changes nothing and is told in the log.
    """
    from monitor.app import run as run_daemon

    asyncio.run(run_daemon(config))


@app.command()
def demo(
    exit_: Annotated[
        bool, typer.Option("--exit", help="End after the last item, with a one-line JSON summary on standard output.")
    ] = False,
) -> None:
    """Show the whole daemon at work on three invented days, replayed fast, in a temporary folder.

    Prints each incident as it comes: one surge about a company, one about a topic, and a source that falls silent. A
    story that forty publishers copy does not fire. The page at the address it prints shows it all live, and is opened
    where there is a desktop. Without --exit it stays up afterwards, so that you can look around; Ctrl-C ends it.
    """
    from monitor.demo import demo as run_demo

    asyncio.run(run_demo(leave=exit_))


@app.command()
def check(config: ConfigFile = DEFAULT) -> None:
    """Say for every source, target, watchlist, the model and the store of a configuration whether it works.

    Fetches each feed once and asks each webhook's server for a sign of life; stores and sends nothing. Ends with 1 if
    something does not work, with 2 if the configuration itself is wrong.
    """
    from monitor.check import check as run_check

    raise typer.Exit(asyncio.run(run_check(config)))


@app.command()
def score(
    model: ModelReference = "builtin",
    watchlist: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Companies to look for (TOML or CSV); may be repeated.")
    ] = None,
) -> None:
    """Judge texts: one line in, one JSON line out, in order.

    A line is plain text, or a JSON object with `text` and, optionally, the `entity` to judge it for:

        echo '{"text": "Acme gains as Bolt slumps", "entity": "Bolt"}' | newsquake score

    The answer holds `label` (for the entity where one is given, else for the whole text), `probabilities`, `topics`,
    `entities` (companies of the watchlist found in the text) and `model`; or `error` for a line it could not read.
    """
    from monitor.commands import score_lines

    asyncio.run(score_lines(sys.stdin.fileno(), sys.stdout, model=model, watchlists=watchlist or []))


@app.command()
def detect(
    series: Annotated[
        Path, typer.Argument(metavar="SERIES.csv", help="Columns `timestamp,value`; - for standard input.")
    ],
    false_alarms: Annotated[str, typer.Option(help="The false-alarm budget.")] = "1 per week",
) -> None:
    """Run the detector alone on a series of counts.

    Reads `timestamp,value` (UTC where no zone is given) and writes a row for each row: `timestamp,value,expected,score,
    alert`. `alert` is 1 on the row that raises an incident. No row is judged by what comes after it.
    """
    from monitor.commands import detect_file

    detect_file(series, sys.stdout, false_alarms)


@app.command()
def replay(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="A JSONL, JSONL.gz or CSV file, or a folder of them.")
    ],
    config: ConfigFile = DEFAULT,
    *,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the report goes.")] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="See the archive as of this moment (UTC); a bare day: as of its end."),
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is known to have happened (JSON), to compare with.")
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(metavar="BUDGETS", help="Further budgets, in false incidents a week: 0.25,1,7.")
    ] = None,
    seed: Annotated[bool, typer.Option("--seed", help="Let the database of the configuration begin with it.")] = False,
) -> None:
    """Ask "when would this have fired?": run an archive as if each item came at its own time.

    No item is seen before it was received, and the live database is not touched but by --seed. A record that names
    only a day (`2019-03-10`, or any time with `"resolution": "day"`) comes at that day's end, and counts in no window
    shorter than a day. Records that cannot be read are counted and named. Run twice, it writes the same report.json.

        newsquake replay 2019.jsonl.gz --report report --sweep 0.25,1,7

    Writes report.json and report.html. With --events it also says which of them were told, how long before the end of
    their busiest day, and how many incidents were at none of them. The file is a list of objects with `id`, `what`,
    `start`, `end` and `busiest_day` (days), and `keywords`, words of which a headline about it holds one.

    With --seed a new database begins with what the archive has taught of rates, seasons and clustering, so that a
    daemon may fire from its first hour on. It is refused while a daemon runs, and where one has learned already.
    """
    from monitor.hindsight import Question
    from monitor.hindsight import replay as run_replay

    asked = Question(archive=archive, config=config, report=report, until=until, events=events, sweep=sweep, seed=seed)
    asyncio.run(run_replay(asked))


@app.command()
def bench(
    model: ModelReference = "builtin",
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to measure each.")] = 10.0,
) -> None:
    """Measure understanding on this machine, beside a plain transformers pipeline; prints JSON."""
    from monitor.commands import measure

    measure(sys.stdout, model, seconds)


@db.command()
def upgrade(config: ConfigFile = DEFAULT) -> None:
    """Bring the database to the schema of this version, while no daemon runs. A SQLite file is copied before."""
    from monitor.commands import upgrade_database

    asyncio.run(upgrade_database(config))


@db.command()
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; must not exist yet.")],
    config: ConfigFile = DEFAULT,
) -> None:
    """Copy the database to one file, as it is at one moment, also while the daemon runs.

    The file is the same for SQLite and PostgreSQL, and `restore` puts it into either.
    """
    from monitor.commands import backup_database

    asyncio.run(backup_database(config, to))


@db.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A copy made by `newsquake db backup`.")],
    config: ConfigFile = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Replace a database that is there.")] = False,
) -> None:
    """Put a copy in the database's place, all of it or nothing, while no daemon runs.

    The copy may come from the other kind of database: to move from SQLite to PostgreSQL, back up, change `store.url`,
    and restore.
    """
    from monitor.commands import restore_database

    asyncio.run(restore_database(config, source, force=force))


@token.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is: a person, a desk, a program.")],
    scope: Annotated[list[Scope], typer.Option(help="What it opens; may be repeated: write does not include read.")],
    expires: Annotated[str | None, typer.Option(metavar="SPAN", help='How long it is good, such as "90 days".')] = None,
    config: ConfigFile = DEFAULT,
) -> None:
    """Make a token for the API and print its secret, which is shown this once and stored nowhere.

    read: all that is stored and shown, and /metrics. write: handing articles over, judging texts, acknowledging and
    verdicts. admin: everything. With the first token the API is open to nobody without one.

        curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/api/v1/incidents
    """
    from monitor.commands import create_token

    asyncio.run(create_token(config, name=name, scopes=scope, expires=expires))


@token.command("list")
def list_(config: ConfigFile = DEFAULT) -> None:
    """Print every token that was made, with its scopes and whether it is still good; never its secret."""
    from monitor.commands import list_tokens

    asyncio.run(list_tokens(config))


@token.command()
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `newsquake token list` names it.")],
    config: ConfigFile = DEFAULT,
) -> None:
    """Let a token open nothing any more. A running daemon takes note within seconds."""
    from monitor.commands import revoke_token

    asyncio.run(revoke_token(config, id_))


def main() -> None:
    """Run the command line; an expected error is one plain message and an exit code."""
    from trainer.cli import app as trainer

    app.add_typer(trainer, name="trainer")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what cannot be written any more is told here, not by the interpreter at its end
    except NewsquakeError as error:
        print(f"newsquake: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:  # the reader of our output has gone, as in `newsquake score | head`
        _say_no_more()
        raise SystemExit(0) from None
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        _say_no_more()  # typer met it before us, and calls it a failure
        raise SystemExit(0) from None
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        _say_no_more()
        print(f"newsquake: the output cannot be written ({error.strerror})", file=sys.stderr)
        raise SystemExit(1) from None


def _say_no_more() -> None:
    """Let what is left of the output go nowhere: the interpreter would try to write it once more, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
