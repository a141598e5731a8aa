"""``media-assets models``: which models there are and which are used, and fetching those that are missing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from media_assets.commands.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    print_json,
    print_table,
    progress_console,
    reports_errors,
)
from media_assets.models import pull as pulling
from media_assets.models.availability import Availability, availability
from media_assets.models.errors import ModelError
from media_assets.models.registry import TASKS, ModelPlaces, ModelSpec, Task, model_named, registered
from media_assets.pipeline.analysis_recipe import chosen, places_of
from media_assets.settings import Settings


@click.group()
def models() -> None:
    """Show and fetch the models that look at pictures."""


@models.command("list")
@json_option
@reports_errors
def list_models(as_json: bool) -> None:
    """Show every model: what it does, whether it can be used here, and for which tasks the settings choose it.

    Nothing is fetched.
    """
    settings = Settings.load()
    places = places_of(settings)
    used = _used(settings)
    found = {spec.name: (spec, availability(spec, places)) for spec in registered().values()}
    if as_json:
        print_json([_described(spec, here, used.get(spec.name, [])) for spec, here in found.values()])
        return
    print_table(
        ("model", "does", "tier", "here", "used for", "licence", "MB", "accuracy"),
        [
            (
                *(spec.name, ", ".join(spec.tasks), spec.tier, here.state.replace("_", " ")),
                *(", ".join(used.get(spec.name, [])) or None, spec.licence, _megabytes(here.size_bytes), spec.accuracy),
            )
            for spec, here in found.values()
        ],
    )
    if not _is_all_there(found[name][1] for name in used):
        console.print("Fetch what the settings choose and this machine lacks: media-assets models pull")


@models.command("pull")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all-folder", is_flag=True, help="Every model that belongs into the folder of models.")
@json_option
@reports_errors
def pull_models(names: Sequence[str], all_folder: bool, as_json: bool) -> None:
    """Fetch models: those named, or those that the settings choose and this machine lacks.

    Models of the folder and the hub go into MEDIA_ASSETS_MODELS, which can be copied to a machine without a connection;
    hub models go into the cache when that is not set. Every file is checked before it appears under its name.

    Exit status: 0 when all are there, 1 when one could not be had, 2 on wrong usage.
    """
    settings = Settings.load()
    places = places_of(settings)
    wanted = _wanted(settings, places, names, all_folder=all_folder)
    results, failures = {}, {}
    try:
        with _download_bar(as_json) as (on_progress, tell):
            for spec in wanted:
                try:
                    results[spec.name] = pulling.pull(spec, places, on_progress, tell)
                except ModelError as error:
                    failures[spec.name] = str(error)
    except KeyboardInterrupt:
        raise UserError("Stopped. Run the same command again to continue.", EXIT_INTERRUPTED) from None
    if as_json:
        there = {name: {"path": one.path, "fetched": one.fetched} for name, one in results.items()}
        print_json({"models": there, "failures": failures})
    else:
        _tell_results(wanted, results, failures)
    raise SystemExit(EXIT_FAILED if failures else 0)


def _wanted(settings: Settings, places: ModelPlaces, names: Sequence[str], *, all_folder: bool) -> list[ModelSpec]:
    """Return the models to fetch, each once."""
    if names:
        try:
            wanted = [model_named(name) for name in names]
        except ModelError as error:
            raise UserError(str(error), EXIT_USAGE) from error
    else:
        wanted = []
    of_folder = [spec for spec in registered().values() if spec.tier == "folder"]
    if all_folder:
        wanted += of_folder
    if not names and not all_folder:
        used = _used(settings)
        if places.folder is not None:
            # Its models come before all others, so to have set a folder is to want them.
            wanted += [
                spec for spec in of_folder if any(getattr(settings, f"{task}_model") is None for task in spec.tasks)
            ]
        wanted += [model_named(name) for name in used if availability(model_named(name), places).state != "ready"]
    return list({spec.name: spec for spec in wanted}.values())


def _used(settings: Settings) -> dict[str, list[Task]]:
    """Return the tasks of each model that the settings choose."""
    used: dict[str, list[Task]] = {}
    for task in TASKS:
        try:
            spec = chosen(settings, task)
        except ModelError as error:
            raise UserError(f"Setting {task}_model: {error}", EXIT_USAGE) from error
        if spec is not None:
            used.setdefault(spec.name, []).append(task)
    return used


def _is_all_there(found: Iterator[Availability]) -> bool:
    return all(one.state == "ready" for one in found)


def _described(spec: ModelSpec, here: Availability, used_for: list[Task]) -> dict[str, object]:
    return {
        "name": spec.name,
        "tasks": spec.tasks,
        "tier": spec.tier,
        "state": here.state,
        "detail": here.detail,
        "used_for": used_for,
        "revision": spec.revision,
        "licence": spec.licence,
        "size_bytes": here.size_bytes,
        "threshold": spec.threshold,
        "accuracy": spec.accuracy,
        "origin": spec.origin,
        "notes": spec.notes,
    }


def _megabytes(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else f"{size_bytes / 1e6:.1f}"


def _tell_results(wanted: Sequence[ModelSpec], results: dict[str, pulling.Pulled], failures: dict[str, str]) -> None:
    if not wanted:
        console.print("Nothing to fetch: every model that the settings choose is there.")
    for name, one in results.items():
        where = f" in {one.path}" if one.path is not None else ""
        if one.path is None:
            console.print(f"{name}: comes with its package", markup=False)
        else:
            console.print(f"{name}: {'fetched' if one.fetched else 'was there'}{where}", markup=False, soft_wrap=True)
    for message in failures.values():
        progress_console.print(f"failed: {message}", style="red", markup=False, soft_wrap=True)


@contextmanager
def _download_bar(quiet: bool) -> Iterator[tuple[pulling.Progress, Callable[[str], None]]]:
    """Show a bar for each file while the body runs; nothing when ``quiet``."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=progress_console, disable=quiet) as progress:

        def on_progress(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        def tell(line: str) -> None:
            progress.console.print(line, markup=False)

        yield on_progress, tell
