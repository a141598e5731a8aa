"""The pool with real decoder processes: what a bad file, a dead child and a full machine do to it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult
from media_assets.media.rendering import DEFAULT_OPTIONS
from media_assets.pipeline import child as child_module
from media_assets.pipeline import workers
from media_assets.pipeline.answers import MAX_TEXT, web_video
from media_assets.pipeline.workers import Task, VideoTask, WorkerPool, WorkerStartError
from media_assets_tests.pictures import jpeg, slow_png, truncated_jpeg
from media_assets_tests.unit.media.samples import write_video

MakePool: TypeAlias = Callable[..., WorkerPool]
MakeTask: TypeAlias = Callable[..., Task]
WAIT_S = 60


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    made: list[WorkerPool] = []

    def make(processes: int = 1, **changes: Any) -> WorkerPool:
        options: dict[str, Any] = {"memory_bytes": 4 * 2**30, "timeout_s": 60.0, "max_tasks": 100, "limits": Limits()}
        made.append(WorkerPool(processes, **options | changes))
        return made[-1]

    yield make
    for pool in made:
        pool.close()
    assert decoders() == []


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    numbers = count()

    def make(content: bytes, *, renditions: bool = True) -> Task:
        folder = tmp_path / str(next(numbers))
        (folder / "out").mkdir(parents=True)
        (folder / "source").write_bytes(content)
        return Task(folder / "source", folder / "out", "photo.jpg", metadata=True, renditions=renditions)

    return make


_OTHERS: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    """Other tests of the session share a decoder that lives on."""
    _OTHERS.clear()
    _OTHERS.update(psutil.Process().children())


def decoders() -> list[psutil.Process]:
    """The decoder processes of this test, zombies included."""
    return [child for child in psutil.Process().children() if child not in _OTHERS]


def run(pool: WorkerPool, task: Task) -> MediaResult:
    return pool.submit(task).result(timeout=WAIT_S)


def refused(pool: WorkerPool, task: Task) -> ContentError:
    with pytest.raises(ContentError) as caught:
        run(pool, task)
    return caught.value


def wait_for_busy(child: psutil.Process) -> None:
    """Return when the process works on its task: it has used more CPU than its start took."""
    before = child.cpu_times().user
    deadline = time.monotonic() + WAIT_S
    while child.cpu_times().user < before + 0.1 and time.monotonic() < deadline:
        time.sleep(0.01)


# ---------------------------------------------------------------- answers


def test_a_sound_file_comes_back_as_typed_facts_with_its_renditions(make_pool: MakePool, make_task: MakeTask) -> None:
    task = make_task(jpeg(size=(200, 100)))
    result = run(make_pool(), task)
    assert isinstance(result, MediaResult)
    assert (result.facts.format, result.facts.width_px, result.facts.height_px) == ("jpeg", 200, 100)
    assert result.metadata is not None
    assert {file.name for file in task.scratch.iterdir()} == {one.file_name for one in result.renditions}
    assert (result.renditions[0].kind, result.renditions[0].width_px) == ("thumb_150", 150)


def test_a_bad_file_is_a_content_error_and_its_process_stays(make_pool: MakePool, make_task: MakeTask) -> None:
    pool = make_pool()
    error = refused(pool, make_task(truncated_jpeg()))
    assert (error.reason, error.stage) == (ReasonCode.TRUNCATED, "decode")
    (before,) = decoders()
    run(pool, make_task(jpeg()))
    assert decoders() == [before]


def test_limits_reach_the_process(make_pool: MakePool, make_task: MakeTask) -> None:
    pool = make_pool(limits=Limits(max_pixels=1000))
    assert refused(pool, make_task(jpeg(size=(100, 11)))).reason == ReasonCode.TOO_MANY_PIXELS
    assert run(pool, make_task(jpeg(size=(100, 10)))).facts.height_px == 10


def test_files_are_spread_over_the_processes(make_pool: MakePool, make_task: MakeTask) -> None:
    pool = make_pool(processes=2)
    futures = [pool.submit(make_task(jpeg(n), renditions=False)) for n in range(6)]
    assert [future.result(WAIT_S).facts.format for future in futures] == ["jpeg"] * 6
    assert len(decoders()) == 2


# ---------------------------------------------------------------- what can go wrong with a process


def test_a_crash_rejects_one_file_and_the_next_one_gets_a_new_process(make_pool: MakePool, make_task: MakeTask) -> None:
    pool = make_pool()
    run(pool, make_task(jpeg()))
    (child,) = decoders()
    future = pool.submit(make_task(slow_png()))
    wait_for_busy(child)
    child.send_signal(signal.SIGSEGV)
    with pytest.raises(ContentError) as caught:
        future.result(WAIT_S)
    assert caught.value.reason == ReasonCode.DECODER_CRASHED
    assert f"signal {signal.SIGSEGV.value}" in caught.value.message
    run(pool, make_task(jpeg()))
    (after,) = decoders()
    assert after.pid != child.pid


def test_a_process_that_died_between_two_files_costs_no_file(make_pool: MakePool, make_task: MakeTask) -> None:
    """The kernel may take an idle process when memory is short; no file is to blame."""
    pool = make_pool()
    for _ in range(2):
        run(pool, make_task(jpeg()))
        (child,) = decoders()
        child.kill()
        psutil.wait_procs([child], timeout=0.5)  # the pool reaps it, so that this may time out
    assert run(pool, make_task(jpeg())).facts.format == "jpeg"


def test_a_file_that_takes_too_long_is_a_timeout(make_pool: MakePool, make_task: MakeTask) -> None:
    pool = make_pool(timeout_s=0.05)
    error = refused(pool, make_task(slow_png()))
    assert error.reason == ReasonCode.DECODER_TIMEOUT
    assert "worker_timeout_s" in error.message
    assert decoders() == []


def test_a_file_that_needs_too_much_memory_is_rejected_for_it(make_pool: MakePool, make_task: MakeTask) -> None:
    """The limit is on address space, of which libraries take some hundred MiB before the first file."""
    pool = make_pool()
    run(pool, make_task(jpeg()))
    needed = decoders()[0].memory_info().vms
    small = make_pool(memory_bytes=needed + 30 * 2**20)
    run(small, make_task(jpeg()))
    error = refused(small, make_task(slow_png()))
    assert error.reason == ReasonCode.DECODER_MEMORY
    assert "worker_memory_bytes" in error.message
    run(small, make_task(jpeg()))


def test_a_limit_below_what_the_libraries_take_is_named_as_the_reason(make_pool: MakePool, make_task: MakeTask) -> None:
    error = refused(make_pool(memory_bytes=16 * 2**20), make_task(jpeg()))
    assert (error.reason, "worker_memory_bytes" in error.message) == (ReasonCode.DECODER_MEMORY, True)


def test_a_process_that_dies_at_its_start_is_a_start_error(
    make_pool: MakePool, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pydantic.py").write_text("raise ImportError('a broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerStartError, match="media-assets doctor"):
        run(make_pool(), make_task(jpeg()))
    assert decoders() == []


def test_a_process_that_does_not_get_ready_is_ended(
    make_pool: MakePool, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "_START_TIMEOUT_S", 0.001)
    with pytest.raises(WorkerStartError, match="lower the setting `workers`"):
        run(make_pool(), make_task(jpeg()))
    assert decoders() == []


def test_a_missing_interpreter_is_a_start_error(
    make_pool: MakePool, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(WorkerStartError, match="cannot be started"):
            run(pool, make_task(jpeg()))
    run(pool, make_task(jpeg()))


# ---------------------------------------------------------------- the life of a process


def test_a_process_is_replaced_after_its_tasks(make_pool: MakePool, make_task: MakeTask) -> None:
    pool = make_pool(max_tasks=2)
    seen = []
    for n in range(5):
        run(pool, make_task(jpeg(n), renditions=False))
        (child,) = decoders()
        seen.append(child.pid)
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert len({seen[0], seen[2], seen[4]}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_knows_no_credentials(
    make_pool: MakePool, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-value")
    monkeypatch.setenv("MEDIA_ASSETS_LEDGER_URL", "postgresql+psycopg2://u:hidden-value@h/d")
    pool = make_pool()
    run(pool, make_task(jpeg()))
    environment = Path(f"/proc/{decoders()[0].pid}/environ").read_bytes()
    names = {entry.split(b"=")[0] for entry in environment.split(b"\0")}
    assert b"hidden-value" not in environment
    assert not [name for name in names if name.startswith((b"AWS_", b"MEDIA_ASSETS_"))]
    assert b"OMP_NUM_THREADS" in names


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_holds_no_file_of_the_run(make_pool: MakePool, make_task: MakeTask, tmp_path: Path) -> None:
    with (tmp_path / "open file of the run").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        pool = make_pool()
        run(pool, make_task(jpeg()))
        held = [str(link.readlink()) for link in Path(f"/proc/{decoders()[0].pid}/fd").iterdir()]
    assert not [name for name in held if "open file of the run" in name]


def test_closing_in_the_middle_of_the_work_leaves_no_process(make_pool: MakePool, make_task: MakeTask) -> None:
    pool = make_pool(processes=2)
    futures = [pool.submit(make_task(slow_png())) for _ in range(6)]
    while len(decoders()) < 2:
        time.sleep(0.01)
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 10
    assert decoders() == []
    assert all(future.done() for future in futures)


def test_closing_while_processes_start_leaves_none_and_does_not_wait_for_their_files(
    make_pool: MakePool, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, closed = threading.Event(), threading.Event()
    real = workers.Child

    def slow_start(memory_bytes: int) -> Any:
        child = real(memory_bytes)
        starting.set()
        closed.wait(WAIT_S)  # the pool has ended the children that it knew
        return child

    monkeypatch.setattr(workers, "Child", slow_start)
    pool = make_pool()
    future = pool.submit(make_task(slow_png()))
    assert starting.wait(WAIT_S)
    closer = threading.Thread(target=pool.close)
    closer.start()
    time.sleep(0.1)
    closed.set()
    closer.join(WAIT_S)
    assert not closer.is_alive()
    assert decoders() == []
    with pytest.raises((WorkerStartError, ContentError)):
        future.result(0)


def test_closing_twice_is_fine(make_pool: MakePool, make_task: MakeTask) -> None:
    with make_pool() as pool:
        run(pool, make_task(jpeg()))
    pool.close()
    assert decoders() == []


# ---------------------------------------------------------------- videos


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that takes some seconds to encode."""
    return write_video(tmp_path_factory.mktemp("long") / "v", frames=350, size=(1280, 720)).read_bytes()


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., VideoTask]:
    numbers = count()

    def make(frames: int = 20, content: bytes | None = None) -> VideoTask:
        folder = tmp_path / f"video {next(numbers)}"
        (folder / "out").mkdir(parents=True)
        if content is None:
            write_video(folder / "source", frames=frames)
        else:
            (folder / "source").write_bytes(content)
        return VideoTask(folder / "source", folder / "out")

    return make


def test_a_video_comes_back_as_its_web_video(
    make_pool: MakePool, make_video: Callable[..., VideoTask], tmp_path: Path
) -> None:
    task = make_video()
    made = make_pool(work_folder=tmp_path).submit_video(task).result(WAIT_S).renditions
    assert [one.kind for one in made] == ["storyboard", "animated_preview", "clip"]
    assert {file.name for file in task.scratch.iterdir()} == {one.file_name for one in made}


def test_the_progress_of_a_video_rises_to_its_end(
    make_pool: MakePool, make_video: Callable[..., VideoTask], long_video: bytes
) -> None:
    told: list[float] = []
    task = make_video(content=long_video)
    made = make_pool().submit_video(task, told.append).result(WAIT_S).renditions
    assert len(made) == 3
    assert told
    assert told == sorted(told)
    assert all(0 < share <= 1 for share in told)


def test_who_listens_badly_does_not_fail_the_video(
    make_pool: MakePool, make_video: Callable[..., VideoTask], long_video: bytes
) -> None:
    def listen(share: float) -> None:
        raise ValueError(share)

    assert len(make_pool().submit_video(make_video(content=long_video), listen).result(WAIT_S).renditions) == 3


def test_a_bad_video_is_a_content_error(make_pool: MakePool, make_video: Callable[..., VideoTask]) -> None:
    with pytest.raises(ContentError) as caught:
        make_pool().submit_video(make_video(content=jpeg())).result(WAIT_S)
    assert (caught.value.reason, caught.value.stage) == (ReasonCode.UNSUPPORTED_TYPE, "render")


def test_a_video_that_takes_too_long_keeps_what_is_finished(
    make_pool: MakePool, make_video: Callable[..., VideoTask]
) -> None:
    pool = make_pool(options=replace(DEFAULT_OPTIONS, clip_timeout_s=0.001))
    made = pool.submit_video(make_video()).result(WAIT_S)
    assert made.renditions == ()
    assert "Raise the setting clip_timeout_s" in made.notes[-1]


def test_a_silent_process_is_ended(
    make_pool: MakePool, make_video: Callable[..., VideoTask], long_video: bytes, make_task: MakeTask
) -> None:
    pool = make_pool(timeout_s=0.05)
    with pytest.raises(ContentError) as caught:
        pool.submit_video(make_video(content=long_video)).result(WAIT_S)
    assert caught.value.reason == ReasonCode.DECODER_TIMEOUT
    assert decoders() == []


def test_a_crash_while_a_video_is_encoded_gives_the_cores_back(
    make_pool: MakePool, make_video: Callable[..., VideoTask], long_video: bytes, make_task: MakeTask
) -> None:
    pool = make_pool(processes=2)
    encoding = threading.Event()
    future = pool.submit_video(make_video(content=long_video), lambda _: encoding.set())
    assert encoding.wait(WAIT_S)
    waiting = pool.submit(make_task(jpeg()))
    time.sleep(0.2)
    assert not waiting.done()  # the video holds all cores
    for child in decoders():
        child.kill()
    with pytest.raises(ContentError) as caught:
        future.result(WAIT_S)
    assert caught.value.reason == ReasonCode.DECODER_CRASHED
    assert waiting.result(WAIT_S).facts.format == "jpeg"


def test_files_and_videos_take_turns(
    make_pool: MakePool, make_video: Callable[..., VideoTask], make_task: MakeTask
) -> None:
    pool = make_pool(processes=2)
    futures: list[Future[Any]] = []
    for number in range(4):
        futures += [pool.submit(make_task(jpeg(number))), pool.submit_video(make_video(frames=5))]
    assert len([future.result(WAIT_S) for future in futures]) == 8


def test_closing_ends_videos_and_those_who_wait_for_their_cores(
    make_pool: MakePool, make_video: Callable[..., VideoTask], long_video: bytes, make_task: MakeTask
) -> None:
    pool = make_pool(processes=2)
    encoding = threading.Event()
    futures: list[Future[Any]] = [
        pool.submit_video(make_video(content=long_video), lambda _: encoding.set()),
        pool.submit(make_task(jpeg())),
    ]
    assert encoding.wait(WAIT_S)
    pool.close()
    assert decoders() == []
    for future in futures:
        with pytest.raises((ContentError, WorkerStartError, CancelledError)):
            future.result(0)


@pytest.mark.parametrize(
    "answer",
    [
        [{"kind": "thumb_150", "file_name": "thumb_150.jpg", "format": "jpeg"}],
        [{"kind": "clip", "file_name": "../clip.mp4", "format": "mp4"}],
        [{"kind": "clip", "file_name": "clip.mp4", "format": "mp4", "size_bytes": 4}],
        [{"kind": "clip", "file_name": "clip.mp4", "format": "mp4"}] * 2,
        {"kind": "clip"},
    ],
    ids=["kind", "folder", "size", "twice", "shape"],
)
def test_answers_about_videos_are_not_believed(tmp_path: Path, answer: Any) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"clip!")
    (tmp_path / "thumb_150.jpg").write_bytes(b"thumb")
    sizes = {"width_px": 2, "height_px": 2, "size_bytes": 5}
    full = [sizes | one for one in answer] if isinstance(answer, list) else answer
    with pytest.raises((ValueError, OSError)):
        web_video({"renditions": full}, tmp_path)
    good = {"kind": "clip", "file_name": "clip.mp4", "format": "mp4"} | sizes
    made = web_video({"renditions": [good], "notes": ["a\x00b", "", "x" * 9999] * 20}, tmp_path)
    assert [one.kind for one in made.renditions] == ["clip"]
    assert "" not in made.notes
    assert max(map(len, made.notes)) <= MAX_TEXT
    assert len(made.notes) <= 20
