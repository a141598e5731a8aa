"""docs/formats.md and docs/security.md say what the code does: every format, every limit with its default."""

import re
from pathlib import Path

import pytest

from media_assets.media import signatures
from media_assets.media.errors import ReasonCode
from media_assets.media.extract import _EXTENSION_ALIASES
from media_assets.media.signatures import Sniffed
from media_assets.pipeline import child, confinement, workers
from media_assets.settings import Settings

_DOCS = Path(__file__).parents[2] / "docs"
_FORMATS, _SECURITY = ((_DOCS / name).read_text(encoding="utf-8") for name in ("formats.md", "security.md"))
_SUPPORTED = [one for one in vars(signatures).values() if isinstance(one, Sniffed) and one.media_type is not None]


def _rows(text: str, first_column: str) -> list[list[str]]:
    """Cells of the table whose header starts with this column."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_the_table_of_formats_has_every_format_once() -> None:
    named = [name for row in _rows(_FORMATS, "`format`") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted({one.format for one in _SUPPORTED})


def test_the_table_of_formats_has_every_extension() -> None:
    by_format: dict[str, set[str]] = {}
    for row in _rows(_FORMATS, "`format`"):
        names = re.findall(r"`(\w+)`", row[0])
        for name in names:
            by_format[name] = {name} if row[1] == "the same" else set(row[1].split())
    assert [one.extension for one in _SUPPORTED if one.extension not in by_format[one.format]] == []
    for name, aliases in _EXTENSION_ALIASES.items():
        if name in ("mp4", "mov", "3gp"):  # each other's names are borne, but not its own
            continue
        assert aliases - {"apng"} <= by_format[name] | {"jpf", "j2c", "jpc", "jpm", "psb"}, name


def test_named_tests_exist() -> None:
    folder = Path(__file__).parent / "media"
    named = set(re.findall(r"\b(test_\w+)\b", " ".join(row[4] for row in _rows(_FORMATS, "`format`"))))
    assert [name for name in named if not (folder / f"{name}.py").is_file()] == []
    for path in re.findall(r"`((?:media_assets_tests|integration)/[\w/]+\.py)`", _SECURITY):
        tests = Path(__file__).parents[2]
        assert (tests / path).is_file() or (tests / "media_assets_tests" / path).is_file(), path


def _number(text: str) -> float:
    digits, unit = re.fullmatch(r"([\d,]+) ?(MiB|GiB|s)?", text).groups()  # type: ignore[union-attr]
    return float(digits.replace(",", "")) * {"MiB": 2**20, "GiB": 2**30}.get(unit, 1)


@pytest.mark.parametrize(
    "row", [row for row in _rows(_SECURITY, "limit") if row[2].startswith("`")], ids=lambda r: r[2]
)
def test_limits_of_settings(row: list[str]) -> None:
    name = row[2].strip("`")
    assert _number(row[1]) == Settings.model_fields[name].default


def test_limits_without_a_setting() -> None:
    stated = {row[0]: row[1] for row in _rows(_SECURITY, "limit") if not row[2].startswith("`")}
    memory = Settings.model_fields["worker_memory_bytes"].default
    assert {name: _number(value) for name, value in stated.items()} == {
        "memory that it may keep between two files": max(workers._KEPT_SHARE * memory, workers._MIN_KEPT_BYTES),
        "size of a file that it writes": confinement.SCRATCH_LIMIT_BYTES,
        "open files of a decoder process": confinement.OPEN_FILES,
        "answer of a decoder process": child._MAX_ANSWER_BYTES,
    }


def test_every_limit_of_a_file_is_listed() -> None:
    listed = {row[2].strip("`") for row in _rows(_SECURITY, "limit")}
    wanted = {name for name in Settings.model_fields if name.startswith(("max_", "worker_"))}
    assert wanted <= listed


def test_reasons_in_the_pages_exist() -> None:
    known = {str(reason) for reason in ReasonCode}
    for row in _rows(_SECURITY, "limit"):
        assert set(re.findall(r"`(\w+)`", row[3])) <= known
    for row in _rows(_FORMATS, "`format`"):
        assert set(re.findall(r"`([a-z]+_[a-z]+)`", row[5])) <= known
