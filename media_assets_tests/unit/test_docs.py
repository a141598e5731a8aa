"""The generated docs are those of the code, and the README names what is there."""

import re
from pathlib import Path

import pytest

from media_assets.cli import main
from media_assets.media.trust_reference import sources_reference
from media_assets.settings_reference import settings_reference
from media_assets.storage.dictionary import data_dictionary

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "made"),
    [("tables.md", data_dictionary), ("configuration.md", settings_reference), ("sources.md", sources_reference)],
    ids=str,
)
def test_generated_docs_are_current(name: str, made: object) -> None:
    assert callable(made)
    assert (_ROOT / "docs" / name).read_text(encoding="utf-8") == made(), "run `make docs`"


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert len(targets) > 5
    assert [target for target in targets if not (_ROOT / target).exists()] == []


def test_the_readme_names_every_command() -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    commands = main.list_commands(None)  # type: ignore[arg-type]
    assert [name for name in commands if f"| `{name}" not in text] == []
