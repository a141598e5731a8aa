"""``media-assets doctor``: is everything that a run needs in place, and is what is marked as done really there?"""

import io
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Literal

import click
from rich.text import Text

from media_assets.commands.existing import open_existing
from media_assets.commands.output import EXIT_FAILED, console, json_option, library_option, print_json, reports_errors
from media_assets.commands.status import PARTITION_LIMIT, SQLITE_PARTITION_LIMIT
from media_assets.instance import prepare_home
from media_assets.media.errors import MediaError
from media_assets.models.availability import availability
from media_assets.models.errors import ModelError
from media_assets.models.faces import load_face_finder
from media_assets.models.registry import TASKS
from media_assets.pipeline.analysis_recipe import chosen, places_of
from media_assets.pipeline.confinement import ISOLATION
from media_assets.pipeline.consistency import find_inconsistencies
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.workers import Task, WorkerStartError
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.erasure_records import open_plans
from media_assets.storage.errors import StorageError
from media_assets.storage.schemas import TABLES

_PACKAGES = (
    "dagster",
    "dagster-webserver",
    "Pillow",
    "pillow-heif",
    "av",
    "ajpegli",
    "pyvips-binary",
    "opencv-python-headless",
    "onnxruntime",
    "pyarrow",
    "duckdb",
    "obstore",
    "SQLAlchemy",
)
_LOW_DISK_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    state: Literal["ok", "warning", "failed"]
    message: str


_Check = Callable[[Library, bool], Iterator[Finding]]


@click.command()
@library_option
@click.option("--deep", is_flag=True, help="Also look for the row and the objects of every materialized partition.")
@json_option
@reports_errors
def doctor(library: str | None, deep: bool, as_json: bool) -> None:
    """Check packages, codecs, storage, inbox, ledger, Dagster instance and catalog. Exit status 1 if one fails."""
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
    findings = [finding for check in _CHECKS for finding in _guarded(check, opened, deep)]
    opened.close()
    failed = any(finding.state == "failed" for finding in findings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        styles = {"ok": "green", "warning": "yellow", "failed": "bold red"}
        for finding in findings:
            console.print(
                Text(f"{finding.state:<8}", style=styles[finding.state])
                + Text(f"{finding.check:<12}{finding.message}"),
                soft_wrap=True,
            )
    raise SystemExit(EXIT_FAILED if failed else 0)


def _guarded(check: _Check, library: Library, deep: bool) -> Iterator[Finding]:
    name = check.__name__.strip("_")
    try:
        yield from check(library, deep)
    except (StorageError, MediaError, WorkerStartError, CompactionBusyError, OSError) as error:
        yield Finding(name, "failed", str(error))


def _packages(library: Library, deep: bool) -> Iterator[Finding]:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    yield Finding("packages", "ok", f"Python {sys.version.split()[0]}, {versions}")


def _models(library: Library) -> Iterator[Finding]:
    """Whether the models that the settings choose are there."""
    try:
        chosen_models = {task: chosen(library.settings, task) for task in TASKS}
    except ModelError as error:
        yield Finding("models", "failed", str(error))
        return
    places = places_of(library.settings)
    found = {spec.name: availability(spec, places) for spec in chosen_models.values() if spec is not None}
    for name, stands in found.items():
        if stands.state in ("missing", "damaged"):
            yield Finding("models", "failed" if stands.state == "damaged" else "warning", f"{name}: {stands.detail}")
    fetched = [name for name, stands in found.items() if stands.state == "fetched_when_needed"]
    later = f"; fetched when first needed: {', '.join(fetched)}" if fetched else ""
    ready = [name for name, stands in found.items() if stands.state == "ready"]
    yield Finding("models", "ok", f"{', '.join(ready) or 'none'}{later}")


def _codecs(library: Library, deep: bool) -> Iterator[Finding]:
    """Decode a picture of each kind in a real decoder process."""
    import pillow_heif
    from PIL import Image, features

    pillow_heif.register_heif_opener()
    picture = Image.linear_gradient("L").convert("RGB")
    # Decoders read nowhere else.
    work_folder = library.store.scratch_dir()
    with tempfile.TemporaryDirectory(dir=work_folder) as folder, library.worker_pool() as pool:
        for name in ("JPEG", "PNG", "WEBP", "HEIF"):
            path, scratch = Path(folder) / name, Path(folder) / f"{name}-out"
            scratch.mkdir()
            data = io.BytesIO()
            picture.save(data, name)
            path.write_bytes(data.getvalue())
            task = Task(path, scratch, f"probe.{name.lower()}", metadata=True, renditions=True)
            pool.submit(task).result()
    faces = load_face_finder().reason
    yield Finding(
        "faces",
        "warning" if faces else "ok",
        f"Squares are cut without looking for faces: {faces}." if faces else "squares are cut around faces",
    )
    yield from _models(library)
    avif = "with AVIF" if features.check("avif") else "without AVIF"
    yield Finding("codecs", "ok", f"{library.settings.worker_count} decoder processes; JPEG, PNG, WebP, HEIC; {avif}")
    lacking = sorted(ISOLATION - (pool.isolation or frozenset()))
    yield Finding(
        "isolation",
        "warning" if lacking else "ok",
        f"This system refuses decoders: {', '.join(lacking)}. Limits of memory and time hold; see docs/security.md."
        if lacking
        else f"decoders run with {', '.join(sorted(ISOLATION))}, and limits of memory and time",
    )


def _storage(library: Library, deep: bool) -> Iterator[Finding]:
    key, data = f"tables/doctor-{uuid.uuid4().hex}", os.urandom(64)
    library.store.put_bytes(key, data)
    same = library.store.get_bytes(key) == data
    library.store.delete(key)
    yield Finding(
        "storage",
        "ok" if same else "failed",
        f"{library.store.url} can be written and read" if same else "What was written reads back differently.",
    )
    folder = library.settings.library_root if library.settings.is_local else library.settings.state_dir
    free = shutil.disk_usage(folder).free
    state: Literal["ok", "warning"] = "ok" if free > _LOW_DISK_BYTES else "warning"
    yield Finding("disk", state, f"{free / 2**30:.1f} GiB free below {folder}")


def _inbox(library: Library, deep: bool) -> Iterator[Finding]:
    library.ensure_inbox()
    page = library.inbox().list(None, 1)
    yield Finding("inbox", "ok", f"{library.inbox().url} can be listed{'' if page.objects else '; it is empty'}")


def _ledger(library: Library, deep: bool) -> Iterator[Finding]:
    counts = library.ledger.counts()
    given_up = library.ledger.batch_counts().get("exhausted", 0)
    yield Finding("ledger", "ok", f"{sum(counts.values())} uploads: {counts}")
    if given_up:
        yield Finding(
            "batches",
            "warning",
            f"{given_up} batches were given up. See `media-assets status`, then: media-assets retry",
        )


def _instance(library: Library, deep: bool) -> Iterator[Finding]:
    from media_assets.defs.inspection import partition_count, uses_sqlite

    count = partition_count()
    limit = SQLITE_PARTITION_LIMIT if uses_sqlite() else PARTITION_LIMIT
    message = f"{os.environ['DAGSTER_HOME']}: {count} partitions"
    if count > limit:
        yield Finding("instance", "warning", f"{message}, more than {limit}; use Postgres, see the README")
    else:
        yield Finding("instance", "ok", message)


def _runs(library: Library, deep: bool) -> Iterator[Finding]:
    """Runs that are shown as going on though their process is dead, and the daemons that would release them."""
    from media_assets.defs.health import find_daemons, find_stuck_runs

    stuck = find_stuck_runs(timedelta(seconds=library.settings.batch_dead_after_s))
    daemons = find_daemons()
    if stuck:
        first = stuck[0]
        yield Finding(
            "runs",
            "warning",
            f"{len(stuck)} runs are shown as going on and their process is dead, first {first.run_id} of {first.job} "
            f"({first.status}). The next call of `media-assets process` or a running service releases them.",
        )
    else:
        yield Finding("runs", "ok", "every run that is shown as going on has a living process")
    last = daemons.last_heartbeat_at
    if last is None:
        yield Finding("daemons", "ok", "no service has run on this library yet")
    elif not daemons.silent:
        yield Finding("daemons", "ok", f"all said something at {last:%Y-%m-%d %H:%M:%S} UTC or before")
    else:
        waiting = f" {daemons.queued} runs wait in the queue for them." if daemons.queued else ""
        yield Finding(
            "daemons",
            "warning" if daemons.queued else "ok",
            f"Silent: {', '.join(daemons.silent)}; the last word of any was at {last:%Y-%m-%d %H:%M:%S} UTC.{waiting} "
            "If the inbox should be watched: media-assets serve",
        )


def _catalog(library: Library, deep: bool) -> Iterator[Finding]:
    for name in TABLES:
        twice = catalog.check_unique(library.store, name)
        if twice:
            yield Finding("catalog", "failed", f"{len(twice)} keys stand twice in {name}, first {twice[0]}")
            return
    pending = library.pending_parts()
    yield Finding("catalog", "ok", f"one row per key; {pending} parts not absorbed yet")


def _erasures(library: Library, deep: bool) -> Iterator[Finding]:
    begun = len(open_plans(library.store))
    if begun:
        message = f"{begun} erasures were begun and are not complete. Complete them: media-assets erase --resume"
        yield Finding("erasures", "failed", message)


def _consistency(library: Library, deep: bool) -> Iterator[Finding]:
    if not deep:
        return
    from media_assets.defs.inspection import materialized_partitions

    if library.pending_parts():
        library.compact()
    materialized = materialized_partitions()
    found = find_inconsistencies(library, materialized)
    if found:
        first = found[0]
        yield Finding(
            "consistency",
            "failed",
            f"{len(found)} outputs of materialized partitions are missing, first {first.asset} of {first.media_id}: "
            f"{first.missing}. Backfill these partitions in the UI.",
        )
    else:
        count = sum(len(keys) for keys in materialized.values())
        yield Finding("consistency", "ok", f"rows and objects of {count} materialized partitions are there")


_CHECKS: tuple[_Check, ...] = (
    *(_packages, _codecs, _storage, _inbox, _ledger, _instance, _runs, _catalog, _erasures, _consistency),
)
