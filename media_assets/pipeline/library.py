"""One opened library: its store, ledger, inboxes and worker pool, built from settings.

The place where settings become plain objects. No decisions about files are made here.
"""

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from media_assets.pipeline.liveness import is_dead_holder, new_holder
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.places import open_geocoder
from media_assets.pipeline.sharing_outcomes import SharedOutcome
from media_assets.pipeline.workers import WorkerPool
from media_assets.settings import Settings
from media_assets.storage import catalog, keys
from media_assets.storage.inbox import DEFAULT_IGNORE, Inbox, open_inbox
from media_assets.storage.inbox_views import InboxView, split_view
from media_assets.storage.ledger import Ledger
from media_assets.storage.objects import ObjectStore, StoreOptions, open_store

_STALE_SPOOL_S = 24 * 3600.0


class CompactionBusyError(Exception):
    """Another process is compacting the catalog right now."""


def store_options(settings: Settings) -> StoreOptions:
    """Return the connection options of the object store."""
    return StoreOptions(
        s3_endpoint_url=settings.s3_endpoint_url,
        s3_region=settings.s3_region,
        s3_access_key_id=settings.s3_access_key_id.get_secret_value() if settings.s3_access_key_id else None,
        s3_secret_access_key=settings.s3_secret_access_key.get_secret_value()
        if settings.s3_secret_access_key
        else None,
        public_base_url=settings.public_base_url,
    )


class Library:
    """A library that is open for work.

    Args:
        settings: Where everything is.

    Raises:
        StorageError: Store or ledger cannot be opened; the message names the next action.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: ObjectStore = open_store(settings.library_url, store_options(settings))
        self.ledger = Ledger(settings.ledger_database_url)
        self._inboxes: dict[tuple[str, float], Inbox] = {}
        # Set to end the work of runs in this process after the files that are being written.
        self.stop = threading.Event()
        self.geocoder = open_geocoder(settings, self.ledger, self.stop)
        # Called for each file as it is finished, from any thread: progress of the command line.
        self.on_outcome: Callable[[FileOutcome], None] | None = None
        # Called with a media id and a share from 0 to 1 while the web renditions of a video are made, from any thread.
        self.on_progress: Callable[[str, float], None] | None = None

        # Called with the number of files that were analysed since the last call.
        self.on_analyzed: Callable[[int], None] | None = None
        # Called with the files of which copies were made or decided about since the last call.
        self.on_shared: Callable[[Sequence[SharedOutcome]], None] | None = None

    def close(self) -> None:
        """Release connections."""
        self.ledger.close()

    def check_store(self) -> None:
        """Ask the store one small question, so that a wrong bucket or key is named before any work is done.

        Raises:
            StorageError: The store cannot be reached or refuses.
        """
        self.store.head(keys.catalog_manifest_key("files"))

    def inbox(self, url: str | None = None, *, settle_s: float | None = None) -> Inbox:
        """Return the inbox (or the view of one) at ``url``; default: the configured inbox."""
        base, owner, file = split_view(url or self.settings.inbox_url)
        settle = self.settings.inbox_settle_s if settle_s is None else settle_s
        if (base, settle) not in self._inboxes:
            exclude = [self.settings.state_dir, *self._own_folders(base)]
            # What was moved out must not come in again, also where it lies inside the inbox.
            done = self.settings.inbox_done_url if self.settings.after_ingest == "move" else ""
            if done and "://" not in done:
                exclude.append(Path(done))
            self._inboxes[base, settle] = open_inbox(
                base,
                store_options(self.settings),
                settle_s=settle,
                ignore=DEFAULT_IGNORE,
                exclude=exclude,
                exclude_urls=[done] if "://" in done else [],
            )
        inbox = self._inboxes[base, settle]
        return InboxView(inbox, owner, file) if owner or file else inbox

    def _own_folders(self, inbox_url: str) -> tuple[Path, ...]:
        """A library inside the folder that is processed must not process itself."""
        if not self.settings.is_local or "://" in inbox_url:
            return ()
        root, inbox = self.settings.library_root.resolve(), Path(inbox_url).resolve()
        return (root,) if root != inbox and root not in inbox.parents else ()

    def ensure_inbox(self) -> None:
        """Create the folder of a local inbox below a local library; any other inbox is the user's own."""
        if self.settings.inbox is None and self.settings.is_local:
            Path(self.settings.inbox_url).mkdir(parents=True, exist_ok=True)

    def worker_pool(self) -> WorkerPool:
        """Return a pool of decoder processes; they start when they are first needed."""
        settings = self.settings
        return WorkerPool(
            settings.worker_count,
            memory_bytes=settings.worker_memory_bytes,
            timeout_s=settings.worker_timeout_s,
            max_tasks=settings.worker_max_tasks,
            limits=settings.limits,
            options=settings.rendering,
            work_folder=self.store.scratch_dir(),
        )

    def spool(self, run_id: str) -> Path:
        """Return the empty spool folder of a run; spools that runs left behind by dying a day ago are removed."""
        root = self.store.scratch_dir()
        for left in root.iterdir():
            if left.is_dir() and time.time() - left.stat().st_mtime > _STALE_SPOOL_S:
                shutil.rmtree(left, ignore_errors=True)
        folder = root / f"{run_id}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    def pending_parts(self) -> int:
        """Return the number of Parquet parts that the catalog has not absorbed yet."""
        return catalog.pending_parts(self.store)

    def compact(self) -> catalog.CompactionReport:
        """Bring the catalog up to date.

        Raises:
            CompactionBusyError: Another process is doing it.
        """
        with self.ledger.lease("catalog", new_holder(), is_dead=is_dead_holder) as obtained:
            if not obtained:
                raise CompactionBusyError("Another process is compacting the catalog. Wait for it and try again.")
            return catalog.compact(self.store)
