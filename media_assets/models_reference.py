"""The table of models in the docs, generated from the registry so that it cannot be out of date.

``python -m media_assets.models_reference docs/models.md`` writes it between its two marks; ``make docs`` calls it.
"""

import sys
from pathlib import Path

from media_assets.models.registry import ModelSpec, registered

BEGIN = "<!-- generated from media_assets/models/registry.toml: begin -->"
END = "<!-- end -->"

_HEAD = "| model | does | tier | licence | MB | accuracy | origin, notes |\n|---|---|---|---|---|---|---|\n"


def models_table() -> str:
    """Return the table as Markdown."""
    return _HEAD + "".join(f"| {' | '.join(_cells(spec))} |\n" for spec in registered().values())


def with_table(page: str) -> str:
    """Return a page with the current table between the marks.

    Raises:
        ValueError: The page has no marks.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n\n{models_table()}\n{END}{tail}"


def _cells(spec: ModelSpec) -> tuple[str, ...]:
    size = "-" if spec.size_bytes is None else f"{spec.size_bytes / 1e6:.1f}"
    origin = f"[{spec.package or 'source'}]({spec.origin})" if "://" in spec.origin else spec.origin
    notes = " ".join(part for part in (f"{origin} at {spec.revision}.", spec.notes) if part)
    cells = (f"`{spec.name}`", ", ".join(spec.tasks), spec.tier, spec.licence, size, spec.accuracy or "-", notes)
    return tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
