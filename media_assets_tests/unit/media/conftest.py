"""Fixtures of the media tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult

Run = Callable[..., MediaResult]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``extract`` on bytes or a file; renditions go to ``tmp_path / "scratch"``."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run_extract(source: bytes | Path, file_name: str = "photo.jpg", **options: Any) -> MediaResult:
        path = source if isinstance(source, Path) else tmp_path / "spool"
        if isinstance(source, bytes):
            path.write_bytes(source)
        settings: dict[str, Any] = {"metadata": True, "renditions": True, "limits": Limits()} | options
        return extract(path, scratch, file_name=file_name, **settings)

    return run_extract
