"""How commands speak: tables for people, JSON for programs, errors without tracebacks.

Results go to standard output, progress and errors to standard error, so that pipes stay clean.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from media_assets.settings import SettingsError
from media_assets.storage.errors import StorageError
from media_assets.storage.ledger_engine import full_disk_message

P = ParamSpec("P")
R = TypeVar("R")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_WIDTH_OF_FILES = 160  # a log or a pipe has no width of its own; 80 columns would fold every cell

_SURROGATE = re.compile(r"[\ud800-\udfff]")

console = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_FILES)
progress_console = Console(stderr=True, highlight=False)


class UserError(click.ClickException):
    """An error for people: one message, no traceback.

    Attributes:
        exit_code: 1 when something failed, 2 when the call or the configuration was wrong.
    """

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # click reads it from the instance too


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors of settings, storage and databases into :class:`UserError`."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            raise UserError(str(error), EXIT_USAGE) from error
        except StorageError as error:
            raise UserError(str(error)) from error
        except SQLAlchemyError as error:  # Dagster's own database; that of the ledger raises a StorageError
            home = Path(os.environ.get("DAGSTER_HOME", ""))
            raise UserError(
                full_disk_message(str(error), home)
                or f"The database of the Dagster instance in {home} cannot be used ({str(error).splitlines()[0]}). "
                "Check free space and permissions of the folder, then run again."
            ) from error

    return wrapped


def _plain(value: object) -> object:
    """JSON for what Parquet and DuckDB hand out; times as ISO 8601."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def print_json(value: object) -> None:
    """Print a value as JSON, one document."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, indent=2)
    # A path whose bytes are not UTF-8 has lone surrogates, which only JSON's escapes can carry.
    click.echo(_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print rows for people. Values are shown as text, never as markup: they come from files."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: object) -> Text:
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, datetime):
        return Text(value.isoformat(sep=" ", timespec="seconds"))
    if isinstance(value, float):
        return Text(f"{value:.6g}", justify="right")
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(str(value), justify="right")
    # Control characters could move the cursor or recolour the terminal.
    return Text("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value)))


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        console.print(Text(f"{name:<{width}}  ") + _cell(value))


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")(command)


def library_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--library`` to a command."""
    return click.option(
        "--library",
        metavar="DIR|URL",
        help="Folder or s3://bucket/prefix of the library.  [default: MEDIA_ASSETS_LIBRARY, else ./library]",
    )(command)
