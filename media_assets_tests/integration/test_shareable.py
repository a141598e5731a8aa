"""Photos and a video with faces, GPS and the rest of a camera's tags: from the inbox to public copies, and back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from media_assets.demo.sample_library import build_sample_library
from media_assets.media.foreign_tags import foreign_tags
from media_assets.models.faces import load_face_finder
from media_assets.pipeline.library import Library
from media_assets.pipeline.published_tags import exiftool_foreign
from media_assets.settings import Settings
from media_assets.storage import catalog, keys

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CREW, FLOWER, VIDEO = "bob/launch/crew.jpg", "bob/Grüße aus München/DSC_4711.JPG", "bob/launch/tracking camera.webm"
OTHER = "alice/2024 holiday/PXL_20240520_013000.jpg"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    everything, folder = tmp_path_factory.mktemp("samples"), tmp_path_factory.mktemp("inbox")
    build_sample_library(everything)
    for name in (CREW, FLOWER, VIDEO, OTHER):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(everything / name, target)
    return folder


def run(*arguments: str | Path, library: Path, exit_code: int = 0) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIA_ASSETS_", "DAGSTER_"))}
    own = {"MEDIA_ASSETS_LIBRARY": str(library), "MEDIA_ASSETS_OBJECTS_MODEL": "none"}
    call = [sys.executable, "-m", "media_assets.cli", *map(str, arguments)]
    done = subprocess.run(call, env=kept | own, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == exit_code, done.stderr
    return done.stdout


def process(samples: Path, library: Path) -> Mapping[str, Any]:
    report: Mapping[str, Any] = json.loads(run("process", samples, "--json", library=library))
    return report


def copies(root: Path) -> dict[str, Path]:
    """Published copies by source key."""
    library = Library(Settings(library=str(root)))
    try:
        names = {keys.media_id(name): name for name in (CREW, FLOWER, VIDEO, OTHER)}
        rows = catalog.read_current(library.store, "shareable").to_pylist()
        assert {row["state"] for row in rows} <= {"published"}
        return {names[row["media_id"]]: root / row["path"] for row in rows}
    finally:
        library.close()


def stored(root: Path) -> set[Path]:
    return {path for path in (root / keys.SHAREABLE_FOLDER).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def shared(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library in which bob has consented to publication, after a time in which he had not."""
    root = tmp_path_factory.mktemp("library") / "library"
    report = process(samples, root)
    assert (report["failures"], report["copies"]) == ([], {})
    assert stored(root) == set()
    run("consent", "grant", "bob", "publication", "--by", "test", library=root)
    report = process(samples, root)
    assert (report["failures"], report["copies"]) == ([], {"published": 3})
    return root


def test_each_file_of_who_consented_has_one_copy_and_no_other_file_has(shared: Path) -> None:
    found = copies(shared)
    assert set(found) == {CREW, FLOWER, VIDEO}
    assert set(found.values()) == stored(shared)
    for path in found.values():
        assert path.name in ("picture.jpg", "video.mp4")
        assert "bob" not in str(path.relative_to(shared))
    assert json.loads(run("stale", "--json", library=shared))["shareable"] == {"current": 3}


def test_no_copy_says_more_than_its_picture(shared: Path, samples: Path) -> None:
    for name, path in copies(shared).items():
        assert foreign_tags(path) == (), name
        data = path.read_bytes()
        for word in (b"Exif", b"GPS", b"NIKON", b"xmp", b"Lavf", b"Lavc"):
            assert word not in data, (name, word)
    assert "jpeg:APP1 Exif" in foreign_tags(samples / FLOWER)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_an_independent_reader_finds_no_tag_beside_the_allowed_ones(shared: Path, samples: Path) -> None:
    assert any("GPS" in tag for tag in exiftool_foreign(samples / FLOWER) or ())  # it does see what is there
    for name, path in copies(shared).items():
        assert exiftool_foreign(path) == (), name


def test_faces_of_a_copy_are_gone_and_the_rest_is_there(shared: Path, samples: Path) -> None:
    find = load_face_finder().find
    assert find is not None
    with Image.open(samples / CREW) as before, Image.open(copies(shared)[CREW]) as after:
        assert before.size == after.size
        assert len(find(np.asarray(before.convert("RGB")))) == 1
        assert len(find(np.asarray(after.convert("RGB")))) == 0
        corner = (864, 0, 1024, 160)  # far from the face: only the codec has been there
        difference = ImageChops.difference(before.convert("L").crop(corner), after.convert("L").crop(corner))
        assert difference.getextrema()[1] < 16


def test_a_revoked_consent_takes_the_copies_back(shared: Path, samples: Path, tmp_path: Path) -> None:
    root = tmp_path / "library"
    shutil.copytree(shared, root)
    run("consent", "revoke", "bob", "publication", "--by", "test", library=root)
    report = process(samples, root)
    assert report["failures"] == []
    assert stored(root) == set()
    assert copies(root) == {}
    assert "publication" in run("consent", "show", "bob", library=root)
