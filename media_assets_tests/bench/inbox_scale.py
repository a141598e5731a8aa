"""What an inbox of a million objects costs: a tick of the sensor at the first sweep and later, and a full comparison.

The listing is made up page by page in this process, so that the figures are the project's own work: add the time of a
request for each page (``--endpoint`` measures it on a real server). At the first sweep all batches that a tick may
request are done before the next one, so that each tick plans as much as it may: the worst case.
"""

import resource
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import dagster as dg
import psutil
import sqlalchemy as sa

from media_assets.defs.partitions import PARTITIONS_NAME, partition_order
from media_assets.pipeline.intake import OPEN_BATCHES, plan_batches, sweep
from media_assets.settings import Settings
from media_assets.storage import keys
from media_assets.storage import ledger_schema as schema
from media_assets.storage.inbox import Inbox, InboxObject, Page, open_inbox
from media_assets.storage.ledger import Ledger
from media_assets.storage.objects import StoreOptions
from media_assets_tests.bench.machine import describe_machine
from media_assets_tests.bench.postgres import NoPostgresError, private_postgres

_DEFAULTS = Settings.model_fields
PAGE_SIZE: int = _DEFAULTS["inbox_page_size"].default
PAGES: int = _DEFAULTS["inbox_pages_per_tick"].default
MAX_FILES: int = _DEFAULTS["batch_max_files"].default
MAX_BYTES: int = _DEFAULTS["batch_max_bytes"].default
MODIFIED = datetime(2026, 5, 1, tzinfo=UTC)
_OWNERS = 50
_ADDED_PER_TICK = 100


@dataclass
class MadeUpInbox:
    """A bucket with ``count`` objects of ``_OWNERS`` owners, and ``added`` ones between them; counts its requests."""

    count: int
    url: str = "s3://made-up/inbox"
    added: set[str] = field(default_factory=set)
    requests: int = 0

    def _key(self, at: int) -> str:
        folder, number = divmod(at, -(-self.count // _OWNERS))
        return f"owner-{folder:02d}/2026/IMG_{number:07d}.jpg"

    def list(self, after: str | None, limit: int) -> Page:
        self.requests += 1
        # A position is a key; the number of the first object behind it is looked for by bisection, as a server does.
        low, high = 0, self.count
        while after is not None and low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._key(middle) <= after else (low, middle)
        names = [self._key(at) for at in range(low, min(low + limit, self.count))]
        last = names[-1] if len(names) == limit else None
        names += [key for key in self.added if (after is None or key > after) and (last is None or key < last)]
        names.sort()
        page = tuple(InboxObject(key, f"{zlib.crc32(key.encode()):032x}", 3_000_000, MODIFIED) for key in names[:limit])
        more = len(names) > limit or low + limit < self.count
        return Page(page, names[limit - 1] if more and len(names) >= limit else None)

    def fetch(self, source_key: str, etag: str, size_bytes: int, dest: Path, max_bytes: int) -> str:
        raise AssertionError("a tick reads no file")

    def head(self, source_key: str) -> InboxObject | None:
        raise AssertionError("a tick asks for pages only")


def tick(ledger: Ledger, inbox: Inbox, positions: Callable[[], dict[str, int]]) -> tuple[float, float, bool]:
    """One tick with the default settings: seconds of the sweep and of the planning, and whether the end was reached."""
    started = time.perf_counter()
    found = sweep(ledger, inbox, page_size=PAGE_SIZE, max_pages=PAGES, take_over=True)
    swept = time.perf_counter()
    plan_batches(ledger, inbox.url, positions, max_files=MAX_FILES, max_bytes=MAX_BYTES, max_open=OPEN_BATCHES)
    return swept - started, time.perf_counter() - swept, found.completed


def sweep_ticks(ledger: Ledger, inbox: Inbox, positions: Callable[[], dict[str, int]], name: str) -> None:
    """Ticks until the end of a sweep, and one line about them."""
    before = inbox.requests if isinstance(inbox, MadeUpInbox) else 0
    spent: list[tuple[float, float]] = []
    completed = False
    while not completed:
        if isinstance(inbox, MadeUpInbox) and "added" in name:
            start = len(inbox.added)
            inbox.added |= {
                f"owner-{at % _OWNERS:02d}/2026/IMG_{at * 7919 % 20000:07d}-{at}.jpg"
                for at in range(start, start + _ADDED_PER_TICK)
            }
        swept, planned, completed = tick(ledger, inbox, positions)
        spent.append((swept, planned))
        if "runs keep up" in name:
            accept_all(ledger, only_batches=True)
    asked = (inbox.requests if isinstance(inbox, MadeUpInbox) else 0) - before
    whole = [sum(one) for one in spent]
    click.echo(
        f"{name:<34} {len(spent):>4} ticks, {asked:>5} requests; a tick {statistics.median(whole):5.2f} s, "
        f"slowest {max(whole):5.2f} s (listing {max(one[0] for one in spent):.2f}, "
        f"planning {max(one[1] for one in spent):.2f}); all {sum(whole):6.1f} s; RSS {_rss_mb()} MB"
    )


def _rss_mb() -> int:
    return round(psutil.Process().memory_info().rss / 2**20)


def accept_all(ledger: Ledger, *, only_batches: bool = False) -> None:
    """As if every batch, or every file, had been worked on: states only, at once."""
    open_ids = sa.select(schema.batch.c.batch_id).where(schema.batch.c.state != "done")
    files = sa.update(schema.media).values(state="accepted", sha256="0" * 64, original_key="o")
    with ledger._transaction() as connection:
        connection.execute(files.where(schema.media.c.batch_id.in_(open_ids)) if only_batches else files)
        connection.execute(sa.update(schema.batch).where(schema.batch.c.state != "done").values(state="done"))


def measure(ledger: Ledger, count: int, positions: Callable[[], dict[str, int]]) -> None:
    """All measurements on one ledger."""
    inbox = MadeUpInbox(count)
    sweep_ticks(ledger, inbox, positions, "first sweep, runs keep up")
    accept_all(ledger)
    sweep_ticks(ledger, inbox, positions, "steady state, nothing new")
    sweep_ticks(ledger, inbox, positions, f"{_ADDED_PER_TICK} added before each tick")
    started, before = time.perf_counter(), inbox.requests
    found = sweep(ledger, inbox, page_size=PAGE_SIZE, max_pages=None, take_over=False)
    click.echo(
        f"full comparison: {found.listed} objects, {inbox.requests - before} requests, "
        f"{time.perf_counter() - started:.1f} s, {found.new} new; RSS {_rss_mb()} MB"
    )
    accept_all(ledger)
    started, filled = time.perf_counter(), 0
    while more := ledger.expect_departures(inbox.url, datetime.now(UTC), 40):
        filled += more
    click.echo(f"departures: {filled} put on record in {time.perf_counter() - started:.1f} s")
    with ledger._transaction() as connection:
        connection.execute(sa.text("UPDATE ma_departure SET state = 'left'"))
    started = time.perf_counter()
    ledger.expect_departures(inbox.url, datetime.now(UTC), 40)
    ledger.due_departures(inbox.url, datetime.now(UTC), 500)
    click.echo(f"departures: a tick with nothing to do {1000 * (time.perf_counter() - started):.1f} ms")
    sweep_ticks(ledger, inbox, positions, "all that have left come back")


def measure_server(endpoint: str, bucket: str, count: int) -> None:
    """The time of a page on a real server: ``count`` small objects are put first, below a prefix of their own."""
    from concurrent.futures import ThreadPoolExecutor

    options = StoreOptions(s3_endpoint_url=endpoint)
    inbox = open_inbox(f"s3://{bucket}/scale", options, settle_s=0)
    client = inbox._client  # type: ignore[attr-defined]

    def put(at: int) -> None:
        client.put_object(Bucket=bucket, Key=f"scale/owner/{at:07d}.jpg", Body=b"x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(count)))
    spent: list[float] = []
    position = None
    while True:
        started = time.perf_counter()
        page = inbox.list(position, PAGE_SIZE)
        spent.append(time.perf_counter() - started)
        position = page.position
        if position is None:
            break
    click.echo(
        f"{endpoint}: {len(spent)} pages of {PAGE_SIZE}: median {1000 * statistics.median(spent):.0f} ms, "
        f"slowest {1000 * max(spent):.0f} ms; {PAGES} pages {PAGES * statistics.median(spent):.1f} s"
    )


def _positions(folder: Path, partitions: int) -> tuple[dg.DagsterInstance, Sequence[str]]:
    storage = {"module": "media_assets.defs.bookkeeping.sqlite", "class": "SqliteStorage"}
    instance = dg.DagsterInstance.local_temp(
        str(folder), overrides={"storage": {"custom": {**storage, "config": {"base_dir": str(folder)}}}}
    )
    ids = [keys.media_id(f"somebody/{at}.jpg") for at in range(partitions)]
    for start in range(0, partitions, 500):
        instance.add_dynamic_partitions(PARTITIONS_NAME, ids[start : start + 500])
    return instance, ids


@click.command()
@click.option("--objects", default=1_000_000, show_default=True, help="Objects in the inbox.")
@click.option("--partitions", default=100_000, show_default=True, help="Partitions that Dagster (SQLite) has already.")
@click.option("--postgres", is_flag=True, help="Keep the ledger in a PostgreSQL server of its own.")
@click.option("--endpoint", help="Also measure a page on this S3 server; credentials from the environment.")
@click.option("--bucket", default="bench", show_default=True, help="Bucket on that server.")
@click.option("--server-objects", default=20_000, show_default=True, help="Objects that are put there.")
def main(objects: int, partitions: int, postgres: bool, endpoint: str | None, bucket: str, server_objects: int) -> None:
    """Measure what a large inbox costs."""
    click.echo(describe_machine(["dagster", "sqlalchemy"]))
    if endpoint is not None:
        measure_server(endpoint, bucket, server_objects)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instance, _ = _positions(folder, partitions)
        started = time.perf_counter()
        partition_order(instance)
        click.echo(f"order of {partitions} partitions: {time.perf_counter() - started:.2f} s")

        def positions() -> dict[str, int]:
            return partition_order(instance)

        if postgres:
            try:
                with private_postgres(folder / "postgres") as server:
                    _measured(server.new_database().replace("postgresql:", "postgresql+psycopg2:"), objects, positions)
            except NoPostgresError as error:
                raise click.ClickException(str(error)) from None
        else:
            _measured(f"sqlite:///{folder / 'ledger.db'}", objects, positions)
            size = sum(path.stat().st_size for path in folder.glob("ledger.db*"))
            click.echo(f"ledger: {size / 2**20:.0f} MB")
        instance.dispose()
    click.echo(f"largest RSS of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def _measured(url: str, objects: int, positions: Callable[[], dict[str, int]]) -> None:
    ledger = Ledger(url)
    try:
        measure(ledger, objects, positions)
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
