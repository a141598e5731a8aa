"""Fixtures that every tier uses, and the rule that keeps slow fixtures out of the fast tests."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import pytest

from media_assets.pipeline import retries
from media_assets.pipeline.library import Library
from media_assets.pipeline.workers import WorkerPool
from media_assets.settings import Settings

MakeLibrary: TypeAlias = Callable[..., Library]
Drop: TypeAlias = Callable[[Mapping[str, bytes]], None]

_TESTS = Path(__file__).parent
_SLOW_TIERS = {"integration": "integration", "e2e": "e2e"}  # folder to marker
_SLOW_FIXTURES = {"s3_server", "s3_bucket"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A slow test must say so, and a fast one must not wait for a server."""
    for item in items:
        tier = item.path.relative_to(_TESTS).parts[0] if item.path.is_relative_to(_TESTS) else ""
        marker = _SLOW_TIERS.get(tier)
        if marker is not None and item.get_closest_marker(marker) is None:
            raise pytest.UsageError(f"{item.nodeid} lies in {tier}/. Mark it with @pytest.mark.{marker}.")
        used = _SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if marker is None and used:
            raise pytest.UsageError(f"{item.nodeid} uses the slow fixture {used.pop()}. Move it to integration/.")


@pytest.fixture(autouse=True)
def _own_environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Fast tests see no configuration of this machine, and leave none behind."""
    if any(request.node.get_closest_marker(marker) for marker in _SLOW_TIERS.values()):
        yield
        return
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("MEDIA_ASSETS_SHARED", "MEDIA_ASSETS_ARTIFACTS")
        or not name.startswith(("MEDIA_ASSETS_", "AWS_", "DAGSTER_"))
    }
    own = {
        "XDG_STATE_HOME": str(tmp_path / "xdg-state"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        # Loading models takes seconds; tests that are about them switch this on.
        "MEDIA_ASSETS_ANALYZE": "false",
    }
    before = Path.cwd()
    with mock.patch.dict(os.environ, kept | own, clear=True):
        os.chdir(tmp_path)  # no media_assets.toml here
        try:
            yield
        finally:
            os.chdir(before)


@pytest.fixture
def make_library(tmp_path: Path) -> Iterator[MakeLibrary]:
    """Open the library in ``tmp_path / "library"``; arguments are settings. One decoder, and uploads settle at once."""
    opened: list[Library] = []

    def make(**settings: Any) -> Library:
        values: dict[str, Any] = {"library": str(tmp_path / "library"), "workers": 1, "inbox_settle_s": 0.0}
        library = Library(Settings(**values | settings))
        library.ensure_inbox()
        opened.append(library)
        return library

    yield make
    for library in opened:
        library.close()


@pytest.fixture
def library(make_library: MakeLibrary) -> Library:
    return make_library()


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    """Put files into the inbox of the library in ``tmp_path``. A second version under a name is always another one."""
    versions = iter(range(1, 1000))

    def put(files: Mapping[str, bytes]) -> None:
        for key, content in files.items():
            path = tmp_path / "library" / "inbox" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            # Equal bytes within one tick of the file system's clock would be the same version.
            stamp = 1_700_000_000_000_000_000 + next(versions)
            os.utime(path, ns=(stamp, stamp))

    return put


@pytest.fixture(scope="session")
def _decoder() -> Iterator[WorkerPool]:
    defaults = Settings(library="/nowhere", workers=1)
    with WorkerPool(
        1,
        memory_bytes=defaults.worker_memory_bytes,
        timeout_s=defaults.worker_timeout_s,
        max_tasks=defaults.worker_max_tasks,
        limits=defaults.limits,
    ) as pool:
        yield pool


@pytest.fixture
def _shared_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs with the settings of ``make_library`` share one real decoder process: its start takes a second."""
    own_pool = Library.worker_pool

    def worker_pool(self: Library) -> AbstractContextManager[WorkerPool]:
        fields = {name: field for name, field in Settings.model_fields.items() if name.startswith(("worker_", "max_"))}
        is_default = all(getattr(self.settings, name) == field.default for name, field in fields.items())
        if self.settings.workers != 1 or not is_default:
            return own_pool(self)
        return nullcontext(request.getfixturevalue("_decoder"))

    monkeypatch.setattr(Library, "worker_pool", worker_pool)


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries inside a batch come at once."""
    monkeypatch.setattr(retries, "BASE_DELAY_S", 0.0)
