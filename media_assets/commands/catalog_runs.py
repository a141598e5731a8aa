"""The end of every command that makes results: the tables are compacted, and what looks at all of them is made anew."""

from typing import TYPE_CHECKING

from media_assets.pipeline.library import Library

if TYPE_CHECKING:
    from media_assets.defs.headless import HeadlessRunner


def compact_and_group(library: Library, runner: "HeadlessRunner", *, group: bool) -> list[str]:
    """Bring the catalog up to date.

    Args:
        library: Which one.
        runner: Executes the runs.
        group: Whether people and near duplicates are made anew, too.

    Returns:
        What failed, for people.
    """
    failures = []
    if (message := runner.run_catalog()) is not None:
        failures.append(f"catalog: {message}")
    elif group:
        if (message := runner.run_groups()) is not None:
            failures.append(f"people and near duplicates: {message}")
        if library.pending_parts() and (message := runner.run_catalog()) is not None:
            failures.append(f"catalog: {message}")
    return failures
