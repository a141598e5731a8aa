"""One service for the tests of the UI: the real daemon and web server on the sample library, and a browser on it."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from media_assets.demo.sample_library import SampleFile, build_sample_library
from media_assets_tests.e2e.serving import Serving, wait_until
from media_assets_tests.e2e.ui import Ui, open_ui

_REPOSITORY = Path(__file__).resolve().parents[2]
_PROCESSED_TIMEOUT_S = 240.0


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium. None is downloaded; without one these tests are skipped, in CI they fail."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    reason = "no Chromium on PATH; install it, on Debian with: apt-get install chromium fonts-dejavu-core"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def samples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="session")
def samples(samples_folder: Path) -> Sequence[SampleFile]:
    """The files of the sample library, written to ``samples_folder``."""
    return build_sample_library(samples_folder)


@pytest.fixture(scope="session")
def accepted(samples: Sequence[SampleFile]) -> list[SampleFile]:
    return [sample for sample in samples if sample.expected == "accepted"]


@pytest.fixture(scope="session")
def rejected(samples: Sequence[SampleFile]) -> list[SampleFile]:
    return [sample for sample in samples if sample.expected == "rejected"]


@pytest.fixture(scope="session")
def serving(
    tmp_path_factory: pytest.TempPathFactory, samples_folder: Path, samples: Sequence[SampleFile]
) -> Iterator[Serving]:
    """A service that was running while the samples were copied into its inbox, and has processed all of them."""
    service = Serving.start(tmp_path_factory.mktemp("served"))
    try:
        service.upload(samples_folder)
        wait_until("every file is processed and in the catalog", lambda: _processed(service, len(samples)),
                   _PROCESSED_TIMEOUT_S, every_s=3.0)  # fmt: skip
        yield service
        left = service.interrupt()
        assert not left, f"still running after Ctrl-C: {left}"
    finally:
        service.kill_all()


def _processed(service: Serving, expected: int) -> bool:
    status = service.command("status")
    files = status["files"]
    return (
        files.get("accepted", 0) + files.get("rejected", 0) == expected
        and not status["unfinished"]
        and not status["parts_not_in_catalog"]
        and _rests(service)
    )


def _rests(service: Serving) -> bool:
    """Whether no run is left, and none is to come: the groups are those of the last catalog."""
    tick = service.last_tick("groups_sensor")
    return tick.get("skipReason") == "Nothing has changed." and all(
        run["status"] in ("SUCCESS", "FAILURE", "CANCELED") and run["endTime"] < tick["endTimestamp"]
        for run in service.runs()
    )


@pytest.fixture(scope="session")
def media_ids(serving: Serving) -> dict[str, str]:
    """Media id of every file by its name in the inbox, the rejected ones included."""
    rows = serving.command("query", "select source_key, media_id from files union all "
                                    "select source_key, media_id from rejected")  # fmt: skip
    return {row["source_key"]: row["media_id"] for row in rows}


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Folder for pictures that CI keeps."""
    return Path(os.environ.get("MEDIA_ASSETS_ARTIFACTS", _REPOSITORY / "artifacts"))


@pytest.fixture(scope="session")
def ui(chromium: str, serving: Serving, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """A browser tab on the service."""
    with open_ui(chromium, tmp_path_factory.mktemp("profile"), serving.url, artifacts) as opened:
        yield opened
