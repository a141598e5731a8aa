"""What imports what: the arrows of the design, measured in fresh interpreters."""

import subprocess
import sys
from pathlib import Path

import pytest

import media_assets

PACKAGE = Path(media_assets.__file__).parent
REPOSITORY = PACKAGE.parent

_PROBE = """
import importlib, sys
modules, forbidden = sys.argv[1].split(), sys.argv[2].split()
for module in modules:
    importlib.import_module(module)
    found = [name for name in forbidden if name in sys.modules]
    if found:
        sys.exit(f"{module} imports {' '.join(found)}")
"""

HEAVY = ("av", "cv2", "pyvips", "ajpegli", "torch", "onnxruntime", "transformers", "duckdb")


def modules_of(*folders: str) -> list[str]:
    found = []
    for folder in folders:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert found
    return found


def imports(modules: list[str], forbidden: tuple[str, ...]) -> str:
    """What the probe complains about; empty when nothing forbidden was imported."""
    call = [sys.executable, "-W", "error", "-c", _PROBE, " ".join(modules), " ".join(forbidden)]
    return subprocess.run(call, capture_output=True, text=True, timeout=120).stderr.strip()


def test_media_is_pure() -> None:
    above = tuple(f"media_assets.{name}" for name in ("models", "storage", "pipeline", "defs", "gallery", "commands"))
    forbidden = (*HEAVY, "dagster", "obstore", "boto3", "sqlalchemy", *above)
    assert imports(modules_of("media"), forbidden) == ""


def test_models_know_nothing_but_media() -> None:
    others = tuple(f"media_assets.{name}" for name in ("storage", "pipeline", "defs", "gallery", "settings"))
    assert imports(modules_of("models"), (*HEAVY, "dagster", "obstore", "sqlalchemy", *others)) == ""


def test_storage_and_pipeline_know_no_orchestrator() -> None:
    upwards = ("media_assets.defs", "media_assets.commands", "media_assets.cli", "media_assets.service")
    assert imports(modules_of("storage"), (*HEAVY, "dagster", "media_assets.pipeline", *upwards)) == ""
    assert imports(modules_of("pipeline"), (*HEAVY, "dagster", "boto3", *upwards)) == ""


def test_settings_are_a_leaf() -> None:
    others = tuple(f"media_assets.{name}" for name in ("storage", "pipeline", "defs", "commands"))
    assert imports(["media_assets.settings"], (*HEAVY, "dagster", "obstore", "sqlalchemy", *others)) == ""


def test_the_code_location_loads_without_heavy_libraries() -> None:
    assert imports(["media_assets.definitions"], (*HEAVY, "boto3", "pillow_heif", "media_assets.commands")) == ""


def test_the_command_line_starts_without_dagster() -> None:
    assert imports(["media_assets.cli", *modules_of("commands")], (*HEAVY, "dagster", "boto3", "pillow_heif")) == ""


@pytest.mark.parametrize("module", modules_of("."))
def test_every_module_says_what_it_is(module: str) -> None:
    path = REPOSITORY / Path(*module.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    assert source.startswith('"""')
    assert "from __future__ import annotations" not in source  # Dagster and pydantic read annotations at run time


def test_the_two_instance_configurations_are_equal() -> None:
    assert (REPOSITORY / "dagster.yaml").read_text() == (PACKAGE / "dagster.yaml").read_text()


def test_the_workspace_names_the_code_location() -> None:
    import yaml

    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    assert workspace == {
        "load_from": [{"python_module": {"module_name": "media_assets.definitions", "location_name": "media_assets"}}]
    }


def test_the_command_line_lists_the_modules_that_exist() -> None:
    from media_assets.cli import main

    others = {"__init__", "existing", "output", "progress", "catalog_runs"}
    commands = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - others
    assert set(main.list_commands(None)) == commands  # type: ignore[arg-type]
