"""Files a second of type, checksum and metadata, against exifread and exiftool: ``make bench-metadata``.

Ours always decodes the picture: a file whose pixels are damaged must not become a row. The others read tags only, so
exifread is also measured with a decode, which is the same promise.
"""

import hashlib
import json
import logging
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.pipeline.workers import Task, WorkerPool
from media_assets.settings import Settings
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.bench.machine import SHARED, describe_machine, medians, rounds

_FORMATS = frozenset({"jpeg", "tiff", "png", "webp", "heic"})  # what exifread knows
_MAX_BYTES, _MAX_PIXELS = 20 * 2**20, 13_000_000  # what phones and cameras make


def _files(folder: Path) -> tuple[list[Path], str]:
    manifest = SHARED / "corpus" / "MANIFEST.jsonl"
    if not manifest.is_file():
        return write_pictures(folder, 60, (1600, 1200)), "JPEGs made in code (no corpus)"
    found = []
    for line in manifest.read_text("utf-8").splitlines():
        file = json.loads(line)
        small = file["bytes"] <= _MAX_BYTES and (file["width"] or 0) * (file["height"] or 0) <= _MAX_PIXELS
        if file["verdict"] == "accept" and file["format"] in _FORMATS and small:
            found.append(SHARED / "corpus" / file["path"])
    return found, "sound pictures of the shared corpus"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


# ---------------------------------------------------------------- ours


def _in_process(files: list[Path], scratch: Path) -> None:
    for path in files:
        _digest(path)
        extract(path, scratch, file_name=path.name, metadata=True, renditions=False, limits=Limits())


def _through_pool(files: list[Path], scratch: Path, pool: WorkerPool) -> None:
    waiting = []
    for path in files:
        _digest(path)
        waiting.append(pool.submit(Task(path, scratch, path.name, metadata=True, renditions=False)))
    for future in waiting:
        future.result()


# ---------------------------------------------------------------- the others


def _exifread(files: list[Path], *, decode: bool) -> int:
    """Read all files, and return how many it could not: they still took their time."""
    import exifread
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    logging.getLogger("exifread").setLevel(logging.CRITICAL)
    failed = 0
    for path in files:
        _digest(path)
        try:
            with path.open("rb") as file:
                exifread.process_file(file, details=False)
            if decode:
                with Image.open(path) as image:
                    image.load()
        except Exception:  # it raises what comes, AssertionError too
            failed += 1
    return failed


class _ExifTool:
    """One exiftool process that stays open, as its documentation advises for many files."""

    def __init__(self, program: str) -> None:
        command = [program, "-stay_open", "True", "-@", "-", "-common_args", "-json", "-n", "-charset", "filename=utf8"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def read(self, path: Path) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n-execute\n".encode())
        self._process.stdin.flush()
        answer = b""
        while not answer.endswith(b"{ready}\n"):
            line = self._process.stdout.readline()
            if not line:
                raise click.ClickException("exiftool ended. Run it by hand to see why.")
            answer += line
        return answer

    def close(self) -> None:
        self._process.communicate(b"-stay_open\nFalse\n", timeout=30)


def _exiftool(files: list[Path], tool: _ExifTool) -> None:
    for path in files:
        _digest(path)
        tool.read(path)


@contextmanager
def _modes(files: list[Path], scratch: Path) -> Iterator[dict[str, Callable[[], float]]]:
    settings = Settings(library="unused")
    program = shutil.which("exiftool")
    tool = _ExifTool(program) if program is not None else None
    with WorkerPool(
        settings.worker_count,
        memory_bytes=settings.worker_memory_bytes,
        timeout_s=settings.worker_timeout_s,
        max_tasks=settings.worker_max_tasks,
        limits=settings.limits,
    ) as pool:
        modes: dict[str, Callable[[], float]] = {
            "ours, one process": lambda: _timed(lambda: _in_process(files, scratch)),
            f"ours, pool of {pool.count}": lambda: _timed(lambda: _through_pool(files, scratch, pool)),
            "exifread": lambda: _timed(lambda: _exifread(files, decode=False)),
            "exifread + Pillow decode": lambda: _timed(lambda: _exifread(files, decode=True)),
        }
        if tool is not None:
            modes["exiftool -stay_open"] = lambda: _timed(lambda: _exiftool(files, tool))
        try:
            for mode in modes.values():
                mode()  # starts processes, fills caches
            yield modes
        finally:
            if tool is not None:
                tool.close()


@click.command()
@click.option("--rounds", "count", default=5, show_default=True, type=click.IntRange(3), help="Alternating rounds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(count: int, as_json: bool) -> None:
    """Compare files a second of sniff + SHA-256 + metadata (no renditions) with exifread and exiftool."""
    with tempfile.TemporaryDirectory() as folder:
        files, what = _files(Path(folder))
        megabytes = sum(path.stat().st_size for path in files) / 2**20
        with _modes(files, Path(folder)) as modes:
            said = rounds(modes, count)
        failed = _exifread(files, decode=False)
    typical = medians(said)
    speed = {name: len(files) / seconds for name, seconds in typical.items()}
    ours = speed["ours, one process"]
    if as_json:
        click.echo(json.dumps({"files": len(files), "files_per_s": speed, "seconds": said}, indent=2))
        return
    click.echo(describe_machine(("Pillow", "pillow-heif", "exifread")))
    click.echo(f"{len(files)} {what}, {megabytes:.0f} MiB")
    click.echo(
        f"SHA-256 in every mode; medians of {count} alternating rounds. exifread fails on {failed} of the files."
    )
    for name, value in speed.items():
        click.echo(f"{name:<28}{value:>8.1f} files/s   ours in one process is {ours / value:.2f} times as fast")
    if not any(name.startswith("exiftool") for name in speed):
        click.echo("exiftool is not on this machine. On Debian: apt install libimage-exiftool-perl")


if __name__ == "__main__":
    main()
