"""The process that runs models: reads one task per line, answers one result per line. Run as a program, never imported.

Models are loaded once, with one thread each; the pool has as many of these processes as cores. What they read are
renditions that we encoded ourselves, so nothing hostile gets here; they are processes because models crash, leak and
take memory, and because one Python process uses one core.
"""

import base64
import contextlib
import json
import os
import resource
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from media_assets.models.errors import ModelError
from media_assets.models.findings import Bench, PictureFindings, find
from media_assets.models.records import Picture
from media_assets.models.registry import ModelPlaces
from media_assets.models.vision_recipe import VisionRecipe
from media_assets.pipeline.analysis_drawing import drawn
from media_assets.pipeline.confinement import die_with_parent

_RECIPE = TypeAdapter(VisionRecipe)
_PLACES = TypeAdapter(ModelPlaces)
_FINDINGS = TypeAdapter(list[PictureFindings])
_NICE = 5  # new uploads are decoded before old ones are looked at


def _read(path: str) -> Picture:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _found(asset: str, pictures: Sequence[Picture], recognizes: Sequence[bool], bench: Bench) -> dict[str, Any]:
    """Return the findings of all pictures, or one by one after an error, so that one picture costs only itself."""
    try:
        return {"found": find(asset, pictures, recognizes, bench), "errors": [None] * len(pictures)}
    except ModelError as error:
        return {"model_error": str(error)}
    except MemoryError:
        raise
    except Exception as error:
        if len(pictures) == 1:
            return {"found": [None], "errors": [f"{type(error).__name__}: {str(error)[:300]}"]}
    parts = [_found(asset, [one], [may], bench) for one, may in zip(pictures, recognizes, strict=True)]
    for part in parts:
        if "model_error" in part:
            return part
    return {"found": [part["found"][0] for part in parts], "errors": [part["errors"][0] for part in parts]}


def _answer(task: dict[str, Any]) -> dict[str, Any]:
    """Analyse the items of a task: media files with one picture, or several frames, each."""
    bench = Bench(_RECIPE.validate_python(task["recipe"]), _PLACES.validate_python(task["places"]))
    items = task["items"]
    pictures = [[_read(path) for path in item["paths"]] for item in items]
    results: list[dict[str, Any]] = [
        {"sizes": [[picture.shape[1], picture.shape[0]] for picture in one], "assets": {}} for one in pictures
    ]
    for asset in task["assets"]:
        asking = [at for at, item in enumerate(items) if asset in item["assets"]]
        flat = [picture for at in asking for picture in pictures[at]]
        recognizes = [items[at]["recognizes"] for at in asking for _ in pictures[at]]
        outcome = _found(asset, flat, recognizes, bench)
        start = 0
        for at in asking:
            end = start + len(pictures[at])
            results[at]["assets"][asset] = _result(asset, outcome, slice(start, end), pictures[at], items[at])
            start = end
    return {"result": results}


def _result(
    asset: str, outcome: dict[str, Any], part: slice, pictures: Sequence[Picture], item: dict[str, Any]
) -> dict[str, Any]:
    if "model_error" in outcome:
        return {"model_error": outcome["model_error"]}
    errors = [error for error in outcome["errors"][part] if error is not None]
    if errors:
        return {"error": errors[0]}
    found: list[PictureFindings] = outcome["found"][part]
    picture = drawn(asset, pictures, item["frames"], found) if item["draw"] else None
    return {
        "found": _FINDINGS.dump_python(found, mode="json"),
        "drawn": None if picture is None else base64.b64encode(picture).decode(),
    }


def _serve(tasks: TextIO, answers: TextIO) -> None:
    for line in tasks:
        try:
            answer = _answer(json.loads(line))
        except MemoryError:
            answer = {"memory": True}
        except Exception as error:
            answer = {"unexpected": f"{type(error).__name__}: {str(error)[:300]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(memory: str) -> None:
    """Serve tasks from standard input until it closes.

    Args:
        memory: Address space of this process in bytes.
    """
    # Runtimes print to standard output now and then; the protocol gets a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(ValueError, OSError):  # a lower limit is in force already
        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    die_with_parent()
    answers.write(json.dumps({"ready": True}) + "\n")
    answers.flush()
    _serve(sys.stdin, answers)
