"""One contestant of ``bench.renditions`` in a process of its own: prepared, told to go, measured, asked what it wrote.

``python -m media_assets_tests.bench.contestants NAME LISTING FOLDER PROCESSES``. Prepared means: processes started,
codecs loaded, one file done by each. It then says ``ready``, waits for a line, and answers with one JSON object.
"""

import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import psutil

from media_assets.media.records import MediaResult
from media_assets.pipeline.workers import Task, WorkerPool
from media_assets.settings import Settings
from media_assets.storage import keys
from media_assets.storage.objects import ObjectStore, open_store
from media_assets_tests.bench.peers.pillow_renditions import write_as_tutorials_do, write_with_draft
from media_assets_tests.bench.peers.vips_renditions import write_renditions as write_with_vips

Written: TypeAlias = dict[int, Path]
"""Paths of the renditions of one file by box size in pixels."""
Work: TypeAlias = Callable[[Sequence[Path], Path], list[Written]]
Contestant: TypeAlias = Callable[[Path, int], AbstractContextManager[Work]]

_BOX_OF = {"preview": 1600, "thumb_1200": 1200, "thumb_600": 600, "thumb_300": 300, "thumb_150": 150}


# ---------------------------------------------------------------- ours


@contextmanager
def _ours(folder: Path, processes: int) -> Iterator[Work]:
    """The worker pool, fed from an object store and stored into it by threads, as ``pipeline.batch`` does."""
    settings = Settings(library="unused")
    store = open_store(str(folder))
    with (
        ThreadPoolExecutor(processes + 2) as readers,
        ThreadPoolExecutor(processes + 1) as writers,
        WorkerPool(
            processes,
            memory_bytes=settings.worker_memory_bytes,
            timeout_s=settings.worker_timeout_s,
            max_tasks=settings.worker_max_tasks,
            limits=settings.limits,
            options=settings.rendering,
            work_folder=store.scratch_dir(),
        ) as pool,
    ):

        def work(sources: Sequence[Path], prefix: Path) -> list[Written]:
            for source in sources:  # links: the inbox is there before the work begins
                link = folder / "inbox" / prefix / source.name
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, link)
            names = [f"inbox/{prefix}/{source.name}" for source in sources]
            read = [readers.submit(_extract, store, pool, key) for key in names]
            stored = [writers.submit(_store, store, key, one) for key, one in zip(names, read, strict=True)]
            return [one.result() for one in stored]

        yield work


def _extract(store: ObjectStore, pool: WorkerPool, key: str) -> tuple[Path, MediaResult]:
    folder = store.scratch_dir() / hashlib.sha256(key.encode()).hexdigest()
    (folder / "out").mkdir(parents=True)
    store.get_to_file(key, folder / "source")
    task = Task(folder / "source", folder / "out", key.rsplit("/", 1)[-1], metadata=False, renditions=True)
    return folder, pool.submit(task).result()


def _store(store: ObjectStore, key: str, extracted: "Future[tuple[Path, MediaResult]]") -> Written:
    folder, result = extracted.result()
    written = {}
    for rendition in result.renditions:
        path = folder / "out" / rendition.file_name
        # Contents are hashed by `original`, not by `thumbnails`: any other name will do here.
        target = keys.rendition_key(hashlib.sha256(key.encode()).hexdigest(), rendition.kind, path.suffix[1:])
        store.put_file(target, path)
        stored = store.local_path(target)
        assert stored is not None
        written[_BOX_OF[rendition.kind]] = stored
    shutil.rmtree(folder)
    return written


# ---------------------------------------------------------------- peers


def _peer(write: Callable[[Path, Path], Written]) -> Contestant:
    @contextmanager
    def contestant(folder: Path, processes: int) -> Iterator[Work]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as executor:

            def work(sources: Sequence[Path], prefix: Path) -> list[Written]:
                target = folder / prefix
                target.mkdir(parents=True, exist_ok=True)
                return list(executor.map(partial(write, folder=target), sources))

            yield work

    return contestant


CONTESTANTS: Mapping[str, Contestant] = {
    "ours": _ours,
    "pyvips": _peer(write_with_vips),
    "pillow-draft": _peer(write_with_draft),
    "pillow-tutorial": _peer(write_as_tutorials_do),
}


# ---------------------------------------------------------------- process


def tree_cpu_s() -> float:
    """CPU seconds of this process, of its living descendants, and of those that have ended and were waited for."""
    own = psutil.Process()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in (own, *own.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def main(name: str, listing: Path, folder: Path, processes: int) -> None:
    """Do the work of one contestant and print what it took."""
    sources = [Path(line) for line in listing.read_text("utf-8").split("\0")]
    folder.mkdir(parents=True)
    with CONTESTANTS[name](folder, processes) as work:
        for number in range(2):  # a process that is late in the first turn is there in the second
            work([sources[i % len(sources)] for i in range(processes)][: len(sources)], Path(f"warm-{number}"))
        print("ready", flush=True)
        sys.stdin.readline()
        cpu_before, started = tree_cpu_s(), time.perf_counter()
        written = work(sources, Path("measured"))
        wall_s, cpu_s = time.perf_counter() - started, tree_cpu_s() - cpu_before
    files = [{str(size): str(path) for size, path in one.items()} for one in written]
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "written": files}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
