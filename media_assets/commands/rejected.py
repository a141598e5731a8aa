"""``media-assets rejected``: which files were refused, and why."""

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import console, json_option, library_option, print_json, print_table, reports_errors
from media_assets.pipeline.assets import REJECTED_TABLE
from media_assets.settings import Settings
from media_assets.storage import catalog


@click.command()
@library_option
@click.option("--reason", metavar="CODE", help="Only this reason code, for example truncated.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Rows at most.")
@json_option
@reports_errors
def rejected(library: str | None, reason: str | None, limit: int, as_json: bool) -> None:
    """List rejected files with their reasons. Upload a sound copy under the same name to try again."""
    opened = open_existing(Settings.load(library=library))
    rows = catalog.read_current(opened.store, REJECTED_TABLE).to_pylist()
    opened.close()
    rows = [row for row in rows if reason is None or row["reason_code"] == reason]
    rows.sort(key=lambda row: (row["last_seen_at"], row["source_key"]), reverse=True)
    shown = rows[:limit]
    if as_json:
        print_json(shown)
        return
    if not rows:
        console.print("No rejected files.")
        return
    print_table(
        ("file", "reason", "message", "last seen"),
        [(row["source_key"], row["reason_code"], row["message"], row["last_seen_at"]) for row in shown],
    )
    if len(rows) > limit:
        console.print(f"... and {len(rows) - limit} more (--limit).")
