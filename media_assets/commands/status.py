"""``media-assets status``: what is in the library, what waits, what failed."""

from collections.abc import Mapping

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import (
    console,
    json_option,
    library_option,
    print_json,
    print_pairs,
    print_table,
    reports_errors,
)
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.inbox import printable
from media_assets.storage.schemas import TABLES

_SHOWN_BATCHES = 20
_SHOWN_SIDECARS = 20
_SHOWN_HELD = 20
# Dagster's advice for one asset, and where SQLite starts to break (DESIGN.md section 2).
PARTITION_LIMIT = 100_000
SQLITE_PARTITION_LIMIT = 30_000


@click.command()
@library_option
@json_option
@reports_errors
def status(library: str | None, as_json: bool) -> None:
    """Show files by state, open batches, what cannot leave the inbox, its last sweep, and the rows of the catalog."""
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    ledger = opened.ledger
    sweep = ledger.sweep_status(opened.inbox().url)
    batches = ledger.unfinished(_SHOWN_BATCHES)
    files = ledger.counts()
    lone, first_lone = ledger.lone_sidecars(_SHOWN_SIDECARS)
    value = {
        "library": settings.library_url,
        "inbox": settings.inbox_url,
        "sidecars": {"count": files.pop("sidecar", 0), "without_media": lone, "first_without_media": first_lone},
        "files": files,
        "archived": ledger.archived_count(),
        "departures": {"states": ledger.departure_counts(), "first_held": ledger.held_departures(_SHOWN_HELD)},
        "batches": ledger.batch_counts(),
        "unfinished": [
            {
                "batch_id": batch.batch_id,
                "state": batch.state,
                "attempt": batch.attempt,
                "files": batch.file_count,
                "run_id": batch.run_id,
                "next_attempt_at": batch.not_before,
                "message": batch.message,
            }
            for batch in batches
        ],
        "last_full_sweep_at": sweep.completed_at if sweep else None,
        "catalog_rows": {name: catalog.row_count(opened.store, name) for name in TABLES},
        "parts_not_in_catalog": opened.pending_parts(),
    }
    opened.close()
    if as_json:
        print_json(value)
        return
    _print(value)


def _print(value: Mapping[str, object]) -> None:
    files, rows, unfinished = value["files"], value["catalog_rows"], value["unfinished"]
    sidecars, archived, departures = value["sidecars"], value["archived"], value["departures"]
    assert isinstance(files, dict)  # noqa: S101 - built above
    assert isinstance(rows, dict)  # noqa: S101 - built above
    assert isinstance(unfinished, list)  # noqa: S101 - built above
    assert isinstance(sidecars, dict)  # noqa: S101 - built above
    assert isinstance(archived, int)  # noqa: S101 - built above
    assert isinstance(departures, dict)  # noqa: S101 - built above
    counted = ", ".join(f"{count} {state}" for state, count in sorted(files.items())) or "none yet"
    print_pairs(
        {
            "Library": value["library"],
            "Inbox": value["inbox"],
            "Last full sweep": value["last_full_sweep_at"],
            "Files": counted,
            "Archived": f"{archived} of these files",
            "Left the inbox": ", ".join(f"{count} {state}" for state, count in sorted(departures["states"].items()))
            or "none (setting after_ingest)",
            "Sidecars": f"{sidecars['count']}, {sidecars['without_media']} of them without a media file",
            "Catalog rows": ", ".join(f"{count} {name}" for name, count in rows.items()),
            "Parts not in the catalog": value["parts_not_in_catalog"],
        }
    )
    total = sum(files.values()) - archived
    if total > SQLITE_PARTITION_LIMIT:
        console.print(
            f"{total} partitions: Dagster advises at most {PARTITION_LIMIT}, and {SQLITE_PARTITION_LIMIT} on SQLite. "
            "Use Postgres for the instance, or archive old months: media-assets archive"
        )
    if sidecars["first_without_media"]:
        print_table(
            ("sidecar without a media file",),
            [(printable(key),) for key in sidecars["first_without_media"]],
            title="Upload the media files that belong to them, or remove them.",
        )
    if departures["first_held"]:
        print_table(
            ("upload that cannot leave the inbox", "why"),
            [(printable(key), message) for key, message in departures["first_held"]],
            title="Tried again by the sensor, or: media-assets process INBOX",
        )
    if unfinished:
        print_table(
            ("batch", "state", "attempt", "files", "next attempt", "message"),
            [
                (one["batch_id"], one["state"], one["attempt"], one["files"], one["next_attempt_at"], one["message"])
                for one in unfinished
            ],
            title="Unfinished batches",
        )
