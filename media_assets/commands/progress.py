"""The progress bar of commands that work long; on standard error, so that pipes stay clean."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from media_assets.commands.output import progress_console


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Show progress while the body runs; nothing when ``quiet``."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=progress_console, disable=quiet) as progress:
        yield progress
