"""A running ``media-assets serve`` as a test sees it: a process, its library, its GraphQL endpoint.

Starting, asking and stopping. What a browser does is in ``ui.py``, what must be true is in the tests.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from media_assets.service import LOCATION_NAME, free_port

START_TIMEOUT_S = 150.0
STOP_TIMEOUT_S = 30.0
_COMMAND = Path(sysconfig.get_path("scripts")) / "media-assets"
_SETTINGS = {
    "MEDIA_ASSETS_SENSOR_INTERVAL_S": "5",
    # What the tests are not about would only take time; those of the analysis ask for it.
    "MEDIA_ASSETS_ANALYZE": "false",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "COLUMNS": "200",
}


def wait_until(what: str, ready: Callable[[], bool], timeout_s: float, every_s: float = 1.0) -> None:
    """Return as soon as ``ready`` is true; fail with ``what`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)


def _environment() -> dict[str, str]:
    """The environment of a user who has configured nothing, with quicker ticks."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIA_ASSETS_", "DAGSTER_"))}
    return own | _SETTINGS


@dataclass
class Serving:
    """``media-assets serve`` in a process of its own.

    Attributes:
        process: The command itself; what it started are its descendants.
        library: Folder of the library.
        url: Address of the web server.
        output: File with what the command printed.
    """

    process: subprocess.Popen[bytes]
    library: Path
    url: str
    output: Path

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start it on a new library below ``folder`` and return when the web server answers."""
        library, output, port = folder / "library", folder / "serve.txt", free_port()
        # A shell without job control starts background jobs with SIGINT ignored, and that would be inherited.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with output.open("wb") as log:
            process = subprocess.Popen(
                [_COMMAND, "serve", "--library", library, "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd=folder,
            )
        serving = cls(process, library, f"http://127.0.0.1:{port}", output)
        try:
            wait_until("the web server answers", serving._answers, START_TIMEOUT_S)
        except BaseException:
            serving.kill_all()
            raise
        return serving

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"serve ended with status {self.process.returncode}: {self.printed()}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/server_info", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def printed(self) -> str:
        """Return what the command has printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def upload(self, samples: Path) -> None:
        """Copy a folder into the inbox, as a user would."""
        shutil.copytree(samples, self.library / "inbox", dirs_exist_ok=True)

    def graphql(self, query: str, **variables: object) -> Mapping[str, Any]:
        """Return the data that a GraphQL query answers."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: Mapping[str, Any] = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: Mapping[str, Any] = answer["data"]
        return data

    def runs(self) -> list[Mapping[str, Any]]:
        """Return all runs of the instance, the newest first, each with its ``tags`` as a dictionary."""
        answer = self.graphql(
            "{ runsOrError { __typename ... on Runs { results { id status jobName endTime tags { key value } } } } }"
        )["runsOrError"]
        assert answer["__typename"] == "Runs", answer
        return [dict(run) | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in answer["results"]]

    def last_tick(self, sensor: str) -> Mapping[str, Any]:
        """Return ``status``, ``skipReason`` and ``endTimestamp`` of the last tick of a sensor that has ended."""
        answer = self.graphql(
            "query ($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) { __typename ... on Sensor { "
            "sensorState { ticks(limit: 2) { status skipReason endTimestamp } } } } }",
            sensor={
                "repositoryLocationName": LOCATION_NAME,
                "repositoryName": "__repository__",
                "sensorName": sensor,
            },
        )["sensorOrError"]
        assert answer["__typename"] == "Sensor", answer
        return next((tick for tick in answer["sensorState"]["ticks"] if tick["endTimestamp"]), {})

    def command(self, *arguments: str, timeout_s: float = 120) -> Any:
        """Run another ``media-assets`` command on the library and return its JSON; it must succeed."""
        return json.loads(self.say(*arguments, "--json", timeout_s=timeout_s))

    def say(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run another ``media-assets`` command on the library and return what it prints; it must succeed."""
        done = self._run(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def succeeds(self, *arguments: str, timeout_s: float = 120) -> bool:
        """Run another ``media-assets`` command on the library and return whether it succeeds."""
        return self._run(*arguments, timeout_s=timeout_s).returncode == 0

    def _run(self, *arguments: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [_COMMAND, *arguments, "--library", self.library],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=_environment(),
            check=False,
        )

    def family(self) -> list[psutil.Process]:
        """Return the processes of the service: the command, its descendants, and whatever else has its environment.

        The environment finds a process even when its parent is gone.
        """
        found = {self.process.pid: psutil.Process(self.process.pid)} if self.process.poll() is None else {}
        for known in list(found.values()):
            found |= {child.pid: child for child in known.children(recursive=True)}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("MEDIA_ASSETS_LIBRARY") == str(self.library):
                    found[process.pid] = process
        return list(found.values())

    def interrupt(self) -> list[psutil.Process]:
        """Press Ctrl-C, wait, and return the processes that are still there after the promised time."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        recorded = self.family()
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT_S)
        _, alive = psutil.wait_procs(recorded, timeout=max(0.0, deadline - time.monotonic()))
        known = {process.pid for process in alive}
        return alive + [late for late in self.family() if late.pid not in known]

    def kill_all(self) -> None:
        """End whatever is left, so that no test leaves processes to the next one."""
        left = self.family()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(left, timeout=10)
