"""The product under the storm: its processes, how they are killed, and how they are started again."""

import contextlib
import os
import random
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from media_assets_tests.s3_server import REGION, Server

TARGETS = ("daemon", "code server", "run worker", "decoder", "service")
_MARK = "MEDIA_ASSETS_TORTURE"
_DISK_BYTES = 512 * 2**20


def settings_of(server: Server, endpoint: str, state: Path, home: Path, bucket: str, inbox: str) -> dict[str, str]:
    """The environment of the product: an S3 library and an S3 inbox, quick ticks, no analysis."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MEDIA_ASSETS_", "DAGSTER_", "AWS_", "XDG_"))
    }
    home.mkdir(parents=True, exist_ok=True)
    return kept | {
        _MARK: secrets.token_hex(8),
        "HOME": str(home),
        "MEDIA_ASSETS_LIBRARY": f"s3://{bucket}/library",
        "MEDIA_ASSETS_INBOX": f"s3://{bucket}/{inbox.rstrip('/')}",
        "MEDIA_ASSETS_STATE": str(state),
        "MEDIA_ASSETS_S3_ENDPOINT_URL": endpoint,
        "MEDIA_ASSETS_S3_REGION": REGION,
        "MEDIA_ASSETS_S3_ACCESS_KEY_ID": server.access,
        "MEDIA_ASSETS_S3_SECRET_ACCESS_KEY": server.secret,
        "MEDIA_ASSETS_ANALYZE": "false",
        "MEDIA_ASSETS_GEOCODER": "off",
        "MEDIA_ASSETS_OPTIMIZED_FORMATS": "jpeg",
        "MEDIA_ASSETS_THUMBNAIL_SQUARES": "150",
        "MEDIA_ASSETS_THUMBNAIL_CROP": "center",
        "MEDIA_ASSETS_SENSOR_INTERVAL_S": "3",
        "MEDIA_ASSETS_CATALOG_INTERVAL_S": "30",
        "MEDIA_ASSETS_FLUSH_FILES": "32",
        "MEDIA_ASSETS_FLUSH_INTERVAL_S": "5",
        "MEDIA_ASSETS_BATCH_MAX_FILES": "128",
        "MEDIA_ASSETS_BATCH_DEAD_AFTER_S": "40",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


class Product:
    """The service, found by its environment wherever its processes went."""

    def __init__(self, env: Mapping[str, str], state: Path, log: Path) -> None:
        self.env, self.state = env, state
        self.killed: Counter[str] = Counter()
        self.starts = 0
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def ensure_running(self) -> None:
        """Start the service if it does not run."""
        if self._process is not None and self._process.poll() is None:
            return
        self.starts += 1
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "media_assets_tests.torture.headless"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.env),
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        """All living processes with the environment of this product."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == self.env[_MARK]:
                    found.append(process)
        return found

    def kill(self, target: str, rng: random.Random) -> bool:
        """``kill -9`` one process of a kind, or with ``service`` all of them; return whether there was one."""
        processes = self.processes()
        chosen = processes if target == "service" else [one for one in processes if _kind(one) == target]
        if target != "service" and chosen:
            chosen = [rng.choice(chosen)]
        for process in chosen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        if chosen:
            self.killed[target] += 1
        return bool(chosen)

    def stop(self) -> None:
        """End the service in order, then whatever is left of it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(40)
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        if self._process is not None:
            self._process.wait(10)


def _kind(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error):
        command = process.cmdline()
        line = " ".join(command)
        if "dagster._daemon" in command:
            return "daemon"
        if "grpc" in command and "media_assets.definitions" in command:
            return "code server"
        if "spawn_main" in line:  # the code server starts a process for each run
            return "run worker"
        if "media_assets.pipeline.worker" in line:
            return "decoder"
    return None


def read_ledger(state: Path, statement: str) -> list[tuple[object, ...]]:
    """Ask the ledger's file directly, read-only; an empty answer while it is locked, missing or cannot be opened."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{state / 'ledger.db'}?mode=ro", uri=True, timeout=2)) as opened,
    ):
        return opened.execute(statement).fetchall()
    return []


@contextlib.contextmanager
def state_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system on ``folder`` where that is allowed; yields whether it is one.

    What is in it is copied beside it before it goes, so that a violation can be looked at.
    """
    folder.mkdir(parents=True)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    is_small = False
    if os.geteuid() == 0 and mount is not None and umount is not None:
        call: list[str | Path] = [mount, "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", folder]
        is_small = subprocess.run(call, capture_output=True, check=False).returncode == 0
    try:
        yield is_small
    finally:
        if is_small and umount is not None:
            with contextlib.suppress(OSError):
                shutil.copytree(folder, folder.with_name(f"{folder.name}-kept"), symlinks=True)
            subprocess.run([umount, "--lazy", folder], check=False)


def fill_disk(folder: Path, seconds: float) -> None:
    """Leave no room on the file system of ``folder`` for a while."""
    ballast = folder / "ballast"
    deadline = time.monotonic() + seconds
    try:
        with ballast.open("wb", buffering=0) as file:
            while time.monotonic() < deadline:
                try:
                    file.write(bytes(2**16))
                except OSError:
                    time.sleep(0.1)  # what others free in the meantime is taken as well
    finally:
        ballast.unlink(missing_ok=True)
