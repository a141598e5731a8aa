"""Files of this machine that tell of erased files: search indexes and copies of tables, scratch files, logs.

What can be made again is deleted whole. In logs the names are overwritten where they stand, with as many letters: a
process that appends to the log goes on undisturbed.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from media_assets.pipeline.library import Library
from media_assets.pipeline.search.search import INDEX_FOLDER
from media_assets.storage.objects import READ_CHUNK_BYTES
from media_assets.storage.traces import Needles

_STATE = (
    *("history", "schedules", "storage", "logs", "service-logs", "compute_logs", ".telemetry", ".logs_queue"),
    *("ledger.db", "ledger.db-wal", "ledger.db-shm", "workspace.yaml", "service.json", "service.lock"),
)
"""What media_assets and Dagster put into the state folder and into the home of Dagster. Nothing else there is read or
changed: somebody may have named a folder of his own."""

QUERY_CACHE = "query-cache"
_DATABASES = (".db", ".db-wal", ".db-shm", ".db-journal")
_FRESH_S = 60.0  # a file that another process is about to put into the library


def state_of(folders: Iterable[Path]) -> list[Path]:
    """Return the files and folders of state below some folders, each once."""
    return sorted({folder.resolve() / name for folder in folders for name in _STATE if (folder / name).exists()})


def forget_derived(
    library: Library, pieces: Collection[bytes], names: Collection[str], knows_run: Callable[[str], bool]
) -> int:
    """Delete search indexes, copies of tables, and what runs left in the scratch folder; return how many files.

    No run may be at work. The scratch folder of a library in a bucket is shared by all libraries of this account: there
    only what belongs to runs of this one, or holds traces, is deleted.
    """
    deleted = 0
    for folder in (library.settings.state_dir / INDEX_FOLDER, library.settings.state_dir / QUERY_CACHE):
        deleted += sum(1 for _ in files_of(folder))
        shutil.rmtree(folder, ignore_errors=True)
    needles = Needles([*pieces, *(name.encode("utf-8", "surrogatepass") for name in names)])
    own = library.settings.is_local
    for entry in list(library.store.scratch_dir().iterdir()):
        files = list(files_of(entry))
        # Folders are named after their run, with eight digits behind it.
        is_ours = own or knows_run(entry.name.rpartition("-")[0])
        is_old = all(time.time() - _changed_at(file) > _FRESH_S for file in files)
        if (is_ours and (entry.is_dir() or is_old)) or any(_holds(file, needles) for file in files):
            deleted += len(files)
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
    return deleted


def erase_from_files(places: Iterable[Path], names: Collection[str]) -> int:
    """Overwrite names in all files of some folders but databases; return how many files were changed."""
    needles = Needles(name.encode("utf-8", "surrogatepass") for name in names)
    changed = 0
    for path in sorted({file for place in places for file in files_of(place)}):
        if path.name.endswith(_DATABASES) or not _holds(path, needles):
            continue
        with path.open("r+b") as file:
            data = file.read()
            for name in sorted(needles.find(data), key=len, reverse=True):
                at = data.find(name)
                while at >= 0:
                    file.seek(at)
                    file.write(b"x" * len(name))
                    at = data.find(name, at + len(name))
        changed += 1
    return changed


def _holds(path: Path, needles: Needles) -> bool:
    try:
        with path.open("rb") as file:
            return bool(needles.find_in(iter(lambda: file.read(READ_CHUNK_BYTES), b"")))
    except (FileNotFoundError, PermissionError):
        return False


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def files_of(place: Path) -> Iterator[Path]:
    """Return the files below a folder, or the file itself; links are left out."""
    if place.is_dir():
        yield from (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    elif place.is_file():
        yield place
