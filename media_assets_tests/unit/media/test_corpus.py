"""The shared corpus: verdicts and upright sizes of the core tier. Scores of all fields come with issue 3."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from media_assets.media.errors import ContentError
from media_assets.media.extract import extract
from media_assets.media.limits import Limits

SHARED = Path(os.environ.get("MEDIA_ASSETS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
CORPUS = SHARED / "corpus"
LARGE_PX = 40_000_000  # decoded by the benchmarks, too slow for a test

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not (CORPUS / "MANIFEST.jsonl").is_file(),
        reason="no shared corpus: set MEDIA_ASSETS_SHARED to its parent folder",
    ),
]


def core_files() -> list[dict[str, Any]]:
    lines = (CORPUS / "MANIFEST.jsonl").read_text(encoding="utf-8").splitlines()
    files = [json.loads(line) for line in lines]
    return [
        file
        for file in files
        if file["tier"] != "extended"
        and (file["verdict"] == "reject" or (file["width"] or 0) * (file["height"] or 0) <= LARGE_PX)
    ]


def test_core_verdicts_and_sizes(tmp_path: Path) -> None:
    wrong, accepted = [], 0
    for file in core_files():
        path = CORPUS / file["path"]
        try:
            result = extract(path, tmp_path, file_name=path.name, metadata=True, renditions=False, limits=Limits())
        except ContentError as error:
            if file["verdict"] == "accept":
                wrong.append(f"{file['path']}: {error}")
            continue
        except MemoryError:
            assert file["verdict"] != "accept"
            continue
        accepted += 1
        size = [result.facts.width_px, result.facts.height_px]
        sizes = [[file["width"], file["height"]], *file.get("alt", {}).get("size", [])]
        if file["verdict"] == "reject" or size not in sizes:
            wrong.append(f"{file['path']}: accepted with {size}, {file['verdict']} {sizes}")
    assert wrong == []
    assert accepted > 150
