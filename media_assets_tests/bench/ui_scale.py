"""How long pages of the Dagster UI take to their content in a real browser, with 50,000 partitions that are all made.

``python -m media_assets_tests.bench.ui_scale``, or ``make bench-ui``. The instance is that of ``ui_scale_instance``, on
SQLite and on Postgres; the service is the product's own (code server, daemon with all sensors, web server), the browser
a headless Chromium with an empty profile. A page counts as there when the number of all partitions is to be read in it
and nothing loads any more. Each page is opened in three states:

* ``rested``: one more partition came, and ``states_sensor`` has looked since: what a page meets as a rule;
* ``changed``: one more partition came just now, as while files arrive: Dagster works out the states of all anew;
* ``forgotten``: what Dagster remembers of the states of partitions was deleted.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import dagster as dg
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from playwright.sync_api import expect

from media_assets.defs.partitions import (
    PARTITIONS_NAME,
    add_partitions,
    media_partitions,
    partition_order,
    remove_partitions,
)
from media_assets.pipeline.assets import ANALYZE_ASSETS, INGEST_ASSETS
from media_assets.service import Service, free_port
from media_assets.settings import Settings
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.bench.machine import describe_machine
from media_assets_tests.bench.postgres import private_postgres
from media_assets_tests.bench.ui_scale_instance import BLOCK, fill_instance, write_config
from media_assets_tests.e2e.ui import Ui, open_ui

BOUND_S = 5.0
_BOUND_PAGES = ("asset", "partitions")
_STATES_WITHIN_S = 180.0
_ADDED = "one-more-"
_ASSETS = (*INGEST_ASSETS, *ANALYZE_ASSETS)
_KEYS = [dg.AssetKey(name) for name in _ASSETS]
_ARTIFACTS = Path(os.environ.get("MEDIA_ASSETS_ARTIFACTS", Path(__file__).parents[2] / "artifacts"))


@dataclass(frozen=True)
class Opened:
    """One page that was opened once.

    Attributes:
        page: Its name.
        view: ``first``, ``again`` or ``changed``.
        content_s: Seconds until the number of partitions was to be read.
        settled_s: Seconds until nothing loaded any more.
    """

    page: str
    view: str
    content_s: float
    settled_s: float


@dataclass(frozen=True)
class _Counts:
    """What is to be read in the pages: numbers of partitions, and the newest one that was made."""

    all: int
    made: int
    newest: str


_PAGES: dict[str, tuple[str, Callable[[_Counts], str]]] = {
    "assets": ("/assets", lambda counts: f"{counts.all:,} partitions"),
    "asset": ("/assets/thumbnails?view=overview", lambda counts: counts.newest),
    "partitions": ("/assets/thumbnails?view=partitions", lambda counts: f"Materialized ({counts.made})"),
}


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    raise click.ClickException("There is no Chromium on PATH. On Debian: apt-get install chromium fonts-dejavu-core")


def _open(ui: Ui, page: str, view: str, counts: _Counts, storage: str) -> Opened:
    path, text = _PAGES[page]
    started = time.perf_counter()
    ui.page.goto(ui.url + path, wait_until="commit")
    expect(ui.page.get_by_text(text(counts)).first).to_be_visible(timeout=40_000)
    content_s = time.perf_counter() - started
    ui.settle()
    settled_s = time.perf_counter() - started
    ui.picture(f"ui_scale_{storage}_{page}.png")
    return Opened(page, view, round(content_s, 2), round(settled_s, 2))


def _measure_pages(instance: dg.DagsterInstance, service: Service, storage: str) -> list[Opened]:
    found: list[Opened] = []
    chromium = _chromium()
    keys = instance.get_dynamic_partitions(PARTITIONS_NAME)
    remove_partitions(instance, [key for key in keys if key.startswith(_ADDED)])  # of a run that was stopped
    made = [key for key in keys if not key.startswith(_ADDED)]
    event = instance.get_latest_materialization_event(dg.AssetKey("thumbnails"))
    newest = event.get_dagster_event().partition if event is not None else None
    added: list[str] = []  # they are not made
    for page in _PAGES:
        for view in ("rested", "changed", "forgotten"):
            if view == "forgotten":
                instance.wipe_asset_cached_status(_KEYS)
            else:
                added.append(f"{_ADDED}{len(added)}")
                add_partitions(instance, added)
            if view == "rested":
                _wait_for_states(instance, service, len(made) + len(added))
            counts = _Counts(len(made) + len(added), len(made), newest or "")
            with (
                tempfile.TemporaryDirectory(prefix="ui-scale-profile-") as profile,
                open_ui(chromium, Path(profile), service.url, _ARTIFACTS) as ui,
            ):
                found.append(_open(ui, page, view, counts, storage))
                click.echo(f"{storage}: {found[-1]}", err=True)
    remove_partitions(instance, added)
    return found


def _wait_for_states(instance: dg.DagsterInstance, service: Service, partitions: int) -> None:
    """Wait until the sensor says that it knows the states of so many partitions."""
    deadline = time.monotonic() + _STATES_WITHIN_S
    while time.monotonic() < deadline:
        service.check()
        for state in instance.all_instigator_state():
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            if state.name == "states_sensor" and ticks and f"of {partitions} partitions" in str(ticks[0].skip_reason):
                time.sleep(2.0)  # pages that were closed are worked on to their end
                return
        time.sleep(1.0)
    raise click.ClickException(f"The states were not known within {_STATES_WITHIN_S:.0f} s.")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 3)


def _measure_look_ups(instance: dg.DagsterInstance) -> dict[str, float]:
    """Seconds that the order of the partitions and the states of all assets take, unknown and known."""

    def states() -> None:
        for key in _KEYS:
            get_and_update_asset_status_cache_value(instance, key, media_partitions)

    instance.wipe_asset_cached_status(_KEYS)
    found = {"states_of_all_assets_first": _seconds(states), "states_of_all_assets_again": _seconds(states)}
    return found | {"order_of_partitions": _seconds(lambda: partition_order(instance))}


@contextmanager
def _postgres_url(storage: str) -> Iterator[str | None]:
    if storage == "sqlite":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ui-scale-pg-") as folder:
        Path(folder).chmod(0o755)
        with private_postgres(Path(folder) / "server") as postgres:
            yield postgres.new_database()


def measure(storage: str, partitions: int, keep: Path | None) -> dict[str, Any]:
    """Prepare an instance, or use the one that was kept, and measure all pages."""
    with ExitStack() as stack:
        url = stack.enter_context(_postgres_url(storage))
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ui-scale-")))
        os.environ["DAGSTER_HOME"] = str(folder / "home")
        settings = Settings.load(library=str(folder / "library"), state=str(folder / "state"))
        is_new = not (folder / "home" / "dagster.yaml").exists()
        write_config(folder / "home", url)
        instance = stack.enter_context(dg.DagsterInstance.get())
        filled_s = 0.0
        if is_new:
            picture = write_pictures(folder / "picture", 1)[0]
            filled_s = _seconds(lambda: fill_instance(instance, folder, picture, partitions))
            click.echo(f"{storage}: {partitions} partitions prepared in {filled_s:.0f} s", err=True)
        look_ups = _measure_look_ups(instance)
        service = stack.enter_context(Service(settings, port=free_port()))
        pages = _measure_pages(instance, service, storage)
    return {
        "storage": storage,
        "partitions": partitions,
        "assets": len(_ASSETS),
        "pages": [asdict(one) for one in pages],
        "look_ups_s": look_ups,
    }


@click.command()
@click.option("--partitions", default=196 * BLOCK, show_default=True, type=click.IntRange(2 * BLOCK))
@click.option("--storages", default="sqlite,postgres", show_default=True)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="SQLite only: a folder to keep the instance in, and reuse."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(partitions: int, storages: str, keep: Path | None, as_json: bool) -> None:
    """Measure how soon pages of the UI show their content."""
    partitions -= partitions % BLOCK
    os.environ["MEDIA_ASSETS_ANALYZE"] = "false"  # the daemon would look for what is not analysed in an empty library
    results = [measure(storage, partitions, keep) for storage in storages.split(",")]
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        click.echo(describe_machine(("dagster", "dagster-webserver", "playwright")))
        for result in results:
            click.echo(f"{result['storage']}, {result['partitions']} partitions, {result['assets']} assets")
            for one in result["pages"]:
                click.echo(
                    f"  {one['page']:<11}{one['view']:<9}{one['content_s']:6.2f} s to content"
                    f"{one['settled_s']:7.2f} s settled"
                )
            click.echo(f"  {result['look_ups_s']}")
    slow = [
        one
        for result in results
        for one in result["pages"]
        if one["page"] in _BOUND_PAGES and one["view"] == "rested" and one["content_s"] >= BOUND_S
    ]
    if slow:
        raise click.ClickException(f"{len(slow)} pages took {BOUND_S} s or more at rest: {slow}")


if __name__ == "__main__":
    main()
