"""Ctrl-C ends everything, also while a run decodes files."""

from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from media_assets.demo.sample_library import SampleFile
from media_assets_tests.e2e.serving import Serving, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]


def _names(processes: Sequence[psutil.Process]) -> str:
    return " ".join(part for process in processes if process.is_running() for part in process.cmdline())


def test_ctrl_c_during_a_run_leaves_no_process_behind(
    tmp_path: Path, samples_folder: Path, samples: Sequence[SampleFile]
) -> None:
    service = Serving.start(tmp_path)
    try:
        idle = {process.pid for process in service.family()}
        running = _names(service.family())
        for part in ("dagster._daemon", "dagster_webserver", "media_assets.definitions"):
            assert part in running
        service.upload(samples_folder)
        wait_until(
            "a run has started",
            lambda: any(run["status"] == "STARTED" for run in service.runs()),
            timeout_s=120,
            every_s=0.5,
        )
        assert {process.pid for process in service.family()} - idle, "the run has no process of its own"

        left = service.interrupt()

        assert not left, f"still running 30 s after Ctrl-C: {_names(left)}"
        assert service.process.returncode == 0, service.printed()
        assert service.printed().rstrip().endswith("Stopped.")
        assert "Traceback" not in service.printed()
    finally:
        service.kill_all()
