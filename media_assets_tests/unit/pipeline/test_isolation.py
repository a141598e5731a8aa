"""What a decoder process may not do, and what the run makes of one that was taken over."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from media_assets.media.errors import ContentError, ReasonCode, ScratchError
from media_assets.media.limits import Limits
from media_assets.pipeline import child, confinement, workers
from media_assets.pipeline.workers import Task, WorkerPool
from media_assets_tests.pictures import jpeg, slow_png

ROOT = Path(confinement.__file__).parents[2]
WAIT_S = 60
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="namespaces and Landlock are Linux")


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[Callable[..., WorkerPool]]:
    made: list[WorkerPool] = []

    def make(**changes: Any) -> WorkerPool:
        options: dict[str, Any] = {"memory_bytes": 4 * 2**30, "timeout_s": 60.0, "max_tasks": 100, "limits": Limits()}
        made.append(WorkerPool(1, **options | {"work_folder": tmp_path} | changes))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def make_task(folder: Path, content: bytes) -> Task:
    (folder / "out").mkdir(parents=True)
    (folder / "source").write_bytes(content)
    return Task(folder / "source", folder / "out", "photo.jpg", metadata=True, renditions=True)


def decoder() -> psutil.Process:
    """The decoder of this test; those of other tests were started before it."""
    deadline = time.monotonic() + WAIT_S
    while not psutil.Process().children() and time.monotonic() < deadline:
        time.sleep(0.01)
    return max(psutil.Process().children(), key=lambda process: process.create_time())


# ---------------------------------------------------------------- what a confined process can still do

_PROBE = """
import json, os, resource, socket, sys
from pathlib import Path
sys.path.append(sys.argv[1])
from media_assets.pipeline.confinement import confine
work, outside, port = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
in_force = confine(4 * 2**30, work)

def attempt(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"

def connect():
    socket.create_connection(("127.0.0.1", port), timeout=5).close()

def send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", port))

def raise_limit():
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**40, 2**40))
    except ValueError as error:
        raise PermissionError from error

def start():
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}), 0)

kinds = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS)
print(json.dumps({
    "in_force": sorted(in_force),
    "read_inside": attempt((work / "given").read_bytes),
    "write_inside": attempt(lambda: (work / "made").write_bytes(b"x")),
    "read_outside": attempt((outside / "secret").read_bytes),
    "list_outside": attempt(lambda: os.listdir(outside)),
    "write_outside": attempt(lambda: (outside / "made").write_bytes(b"x")),
    "remove_outside": attempt((outside / "victim").unlink),
    "link_to_outside": attempt(lambda: (work / "link").symlink_to(outside / "secret")),
    "environment_of_run": attempt(Path(f"/proc/{os.getppid()}/environ").read_bytes),
    "signal_to_run": attempt(lambda: os.kill(os.getppid(), 0)),
    "tcp": attempt(connect),
    "udp": attempt(send),
    "program": attempt(start),
    "relative_path": attempt(lambda: Path("here").write_bytes(b"x")),
    "mode": oct((work / "made").stat().st_mode & 0o777),
    "limits": [list(resource.getrlimit(kind)) for kind in kinds],
    "raise_limit": attempt(raise_limit),
}))
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process can do after ``confine``, with a listener of this process near by."""
    folder = tmp_path_factory.mktemp("probe")
    work, outside = folder / "work", folder / "outside"
    for one in (work, outside):
        one.mkdir()
    (work / "given").write_bytes(b"x")
    for name in ("secret", "victim"):
        (outside / name).write_bytes(b"x")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-P", "-c", _PROBE, str(ROOT), str(work), str(outside)]
        done = subprocess.run(
            [*command, str(listener.getsockname()[1])], capture_output=True, text=True, check=False, timeout=WAIT_S
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"victim_is_left": (outside / "victim").exists()}


def _needs(probe: dict[str, Any], *features: str) -> None:
    if not any(feature in probe["in_force"] for feature in features):
        pytest.skip(f"the kernel or the container refuses {' and '.join(features)}")


def test_its_limits_cannot_be_raised_again(probe: dict[str, Any]) -> None:
    core, file_size, files, memory = probe["limits"]
    assert core == ([1, 1] if sys.platform == "linux" else [0, 0])
    assert file_size == [confinement.SCRATCH_LIMIT_BYTES] * 2
    assert files == [confinement.OPEN_FILES] * 2
    assert memory == [4 * 2**30] * 2
    if "no_capabilities" in probe["in_force"] or os.getuid() != 0:
        assert probe["raise_limit"] == "PermissionError"


def test_it_has_no_working_folder_and_its_files_are_private(probe: dict[str, Any]) -> None:
    assert probe["relative_path"] != "done"
    assert (probe["read_inside"], probe["write_inside"], probe["mode"]) == ("done", "done", "0o600")


@linux_only
def test_it_gains_no_privileges(probe: dict[str, Any]) -> None:
    assert "no_new_privileges" in probe["in_force"]


@linux_only
def test_it_reads_and_writes_nothing_outside_its_work_folder(probe: dict[str, Any]) -> None:
    _needs(probe, "landlock")
    denied = ("read_outside", "list_outside", "write_outside", "remove_outside", "link_to_outside", "program")
    assert {name: probe[name] for name in denied} == dict.fromkeys(denied, "PermissionError")
    assert probe["victim_is_left"]


@linux_only
def test_it_reaches_no_network(probe: dict[str, Any]) -> None:
    _needs(probe, "network_namespace")
    assert "done" not in (probe["tcp"], probe["udp"])


@linux_only
def test_it_cannot_read_the_credentials_of_the_run(probe: dict[str, Any]) -> None:
    _needs(probe, "user_namespace", "landlock")
    assert probe["environment_of_run"] == "PermissionError"


# ---------------------------------------------------------------- the decoders of a pool


@linux_only
def test_a_decoder_of_a_pool_is_confined(make_pool: Callable[..., WorkerPool], tmp_path: Path) -> None:
    make_pool().submit(make_task(tmp_path / "one", jpeg())).result(WAIT_S)
    process = Path(f"/proc/{decoder().pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    assert status["Umask"] == "0077"
    assert str((process / "cwd").readlink()).endswith(" (deleted)")
    limits = (process / "limits").read_text()
    assert f"Max address space         {4 * 2**30}" in limits
    assert f"Max open files            {confinement.OPEN_FILES}" in limits


@linux_only
def test_a_decoder_of_a_pool_has_a_network_of_its_own(
    make_pool: Callable[..., WorkerPool], tmp_path: Path, probe: dict[str, Any]
) -> None:
    _needs(probe, "network_namespace")
    make_pool().submit(make_task(tmp_path / "one", jpeg())).result(WAIT_S)
    own, its = (Path(f"/proc/{pid}/ns/net").readlink() for pid in (os.getpid(), decoder().pid))
    assert own != its


def test_modules_among_the_uploads_are_not_imported(make_pool: Callable[..., WorkerPool], tmp_path: Path) -> None:
    """A run that is started inside the folder of the uploads must not run what was uploaded."""
    for name in ("json", "PIL", "numpy", "media_assets"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()")
    os.chdir(tmp_path)
    result = make_pool().submit(make_task(tmp_path / "one", jpeg())).result(WAIT_S)
    assert result.facts.format == "jpeg"
    assert not (tmp_path / "imported").exists()


def test_relative_paths_of_a_task_still_lead_to_its_files(make_pool: Callable[..., WorkerPool], tmp_path: Path) -> None:
    make_task(tmp_path / "one", jpeg())
    task = Task(Path("one/source"), Path("one/out"), "photo.jpg", metadata=False, renditions=True)
    assert make_pool().submit(task).result(WAIT_S).renditions


def test_a_decoder_that_keeps_its_memory_is_replaced(
    make_pool: Callable[..., WorkerPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    pool.submit(make_task(tmp_path / "one", jpeg())).result(WAIT_S)
    small = decoder()
    pool.submit(make_task(tmp_path / "two", jpeg())).result(WAIT_S)
    assert decoder() == small
    monkeypatch.setattr(workers, "_MIN_KEPT_BYTES", 2**20)
    monkeypatch.setattr(workers, "_KEPT_SHARE", 0.0)
    pool.submit(make_task(tmp_path / "three", jpeg())).result(WAIT_S)
    assert not small.is_running()


def test_too_much_cpu_time_is_a_timeout(make_pool: Callable[..., WorkerPool], tmp_path: Path) -> None:
    pool = make_pool()
    pool.submit(make_task(tmp_path / "one", jpeg())).result(WAIT_S)
    started = decoder().cpu_times().user
    future = pool.submit(make_task(tmp_path / "two", slow_png()))
    deadline = time.monotonic() + WAIT_S
    # A tenth of a second into its work, however fast the machine is.
    while (busy := decoder()).cpu_times().user < started + 0.1 and time.monotonic() < deadline:
        time.sleep(0.005)
    busy.send_signal(signal.SIGXCPU)  # what the kernel sends at RLIMIT_CPU
    with pytest.raises(ContentError) as caught:
        future.result(WAIT_S)
    assert caught.value.reason == ReasonCode.DECODER_TIMEOUT


# ---------------------------------------------------------------- a decoder that was taken over

_TAKEN_OVER = """
import json, os, sys
sys.stdout.write('{"ready": true}\\n'); sys.stdout.flush()
task = json.loads(sys.stdin.readline())
out = task["scratch"]
facts = dict(media_type="image", mime_type="image/jpeg", format="jpeg", extension="jpg", width_px=1, height_px=1)
rendition = dict(kind="thumb_150", file_name="thumb_150.jpg", format="jpeg", width_px=1, height_px=1, size_bytes=1)
def result(**changes):
    return json.dumps({"result": dict(facts=facts | changes.pop("facts", {}), renditions=[rendition | changes])})
def made(path):
    open(path, "w").write("x")
    return path
"""
_LIES = {
    "an answer without end": "print('x' * 40_000_000)",
    "an answer nested too deeply": "print('[' * 200_000)",
    "no JSON": "print('hello')",
    "no object": "print('[]')",
    "an unknown reason": "print(json.dumps({'error': {'reason': 'because', 'message': 'm', 'stage': 's'}}))",
    "an error without a reason": "print(json.dumps({'error': None}))",
    "fields of other types": "print(json.dumps({'result': {'facts': 7}}))",
    "a rendition elsewhere": "made(out + '/../x'); print(result(file_name='../x'))",
    "a rendition of another kind": "made(out + '/x.jpg'); print(result(kind='x', file_name='x.jpg'))",
    "a rendition that is not there": "print(result())",
    "a rendition that is a link": ("os.symlink(made(out + '/../secret'), out + '/thumb_150.jpg'); print(result())"),
    "a rendition that is a second name": ("os.link(made(out + '/../secret'), out + '/thumb_150.jpg'); print(result())"),
    "a rendition of another size": "made(out + '/thumb_150.jpg'); print(result(size_bytes=2))",
    "an extension that is a path": "made(out + '/thumb_150.jpg'); print(result(facts={'extension': '../x'}))",
}


@pytest.mark.parametrize("lie", _LIES.values(), ids=_LIES)
def test_lies_of_a_decoder_reject_the_file_and_nothing_else(
    make_pool: Callable[..., WorkerPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    monkeypatch.setattr(child, "_PROGRAM", f"{_TAKEN_OVER}\n{lie}\nsys.stdout.flush(); sys.stdin.read()")
    before = set(psutil.Process().children())
    pool = make_pool()
    with pytest.raises(ContentError) as caught:
        pool.submit(make_task(tmp_path / "one", jpeg())).result(WAIT_S)
    assert caught.value.reason == ReasonCode.DECODER_CRASHED
    assert set(psutil.Process().children()) == before
    monkeypatch.undo()
    assert pool.submit(make_task(tmp_path / "two", jpeg())).result(WAIT_S).facts.format == "jpeg"


def test_the_honest_answer_of_the_same_program_is_taken(
    make_pool: Callable[..., WorkerPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the lies above would be refused for another reason."""
    honest = "made(out + '/thumb_150.jpg'); print(result())"
    monkeypatch.setattr(child, "_PROGRAM", f"{_TAKEN_OVER}\n{honest}\nsys.stdout.flush(); sys.stdin.read()")
    result = make_pool().submit(make_task(tmp_path / "one", jpeg())).result(WAIT_S)
    assert [one.kind for one in result.renditions] == ["thumb_150"]


@linux_only
def test_a_file_outside_the_work_folder_is_a_fault_of_the_machine(
    make_pool: Callable[..., WorkerPool], tmp_path: Path, probe: dict[str, Any]
) -> None:
    """It must not be rejected for what the run did wrong."""
    _needs(probe, "landlock")
    (tmp_path / "work").mkdir()
    future = make_pool(work_folder=tmp_path / "work").submit(make_task(tmp_path / "elsewhere", jpeg()))
    with pytest.raises(ScratchError, match="Permission denied"):
        future.result(WAIT_S)
