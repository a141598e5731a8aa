"""The pool of processes that run models: what is asked again when one dies, and what is not.

The processes are stand-ins that answer, die or hang as a test tells them.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from media_assets.models.registry import ModelPlaces
from media_assets.models.vision_recipe import VisionRecipe
from media_assets.pipeline import analysis_pool
from media_assets.pipeline.analysis_pool import AnalysisPool, LookItem

Behaviour: TypeAlias = Callable[[Mapping[str, Any]], dict[str, Any] | None]


def answer(task: Mapping[str, Any]) -> dict[str, Any]:
    """What a sound process says: an object in every picture for which objects are asked."""
    found = {"objects": [{"label": "dog", "score": 0.5, "box": [0, 0, 10, 10]}]}
    return {
        "result": [
            {
                "sizes": [[100, 50]] * len(item["paths"]),
                "assets": {
                    asset: {"found": [found if asset == "objects" else {}] * len(item["paths"]), "drawn": None}
                    for asset in item["assets"]
                },
            }
            for item in task["items"]
        ]
    }


class Process:
    """Stands in for ``Child``."""

    behaviour: Behaviour = staticmethod(answer)
    started = 0
    asked: list[tuple[tuple[str, ...], int]] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, arguments: tuple[str, ...], module: str) -> None:
        type(self).started += 1
        self.is_alive = True

    def ask(self, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any] | None:
        self.asked.append((tuple(message["assets"]), len(message["items"])))
        said = type(self).behaviour(message)
        if said is None:
            self.is_alive = False
        return said

    def exit_status(self) -> int:
        return -9

    def kill(self) -> int:
        self.is_alive = False
        return -9


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnalysisPool]:
    monkeypatch.setattr(analysis_pool, "Child", Process)
    monkeypatch.setattr(Process, "started", 0)
    monkeypatch.setattr(Process, "asked", [])
    places = ModelPlaces(None, Path("cache"))
    with AnalysisPool(1, recipe=VisionRecipe(), places=places, memory_bytes=2**30, timeout_s=5.0) as made:
        yield made


def items(count: int, *assets: str) -> list[LookItem]:
    return [LookItem((Path(f"{at}.jpeg"),), (None,), frozenset(assets), recognizes=False) for at in range(count)]


def behave(monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour) -> None:
    monkeypatch.setattr(Process, "behaviour", staticmethod(behaviour))


def test_a_sound_process_is_asked_once_for_everything(pool: AnalysisPool) -> None:
    looked = pool.submit(items(3, "objects", "safety")).result()
    assert Process.asked == [(("objects", "safety"), 3)]
    assert [one.sizes for one in looked] == [((100, 50),)] * 3
    found = looked[0].assets["objects"].found
    assert found is not None
    assert (found[0].objects[0].label, found[0].objects[0].box) == ("dog", (0, 0, 10, 10))


def test_what_kills_the_process_costs_only_itself(pool: AnalysisPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(task: Mapping[str, Any]) -> dict[str, Any] | None:
        return (
            None
            if "objects" in task["assets"] and any("1" in item["paths"][0] for item in task["items"])
            else answer(task)
        )

    behave(monkeypatch, dies)
    looked = pool.submit(items(3, "objects", "safety")).result()
    assert [one.assets["objects"].error is None for one in looked] == [True, False, True]
    assert "signal 9" in str(looked[1].assets["objects"].error)
    assert all(one.assets["safety"].found is not None for one in looked)
    assert Process.started == 3  # the first, one after the batch died, one after the single picture did


def test_a_model_that_always_kills_its_process_is_given_up(pool: AnalysisPool, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, lambda task: None if "objects" in task["assets"] else answer(task))
    looked = pool.submit(items(8, "objects", "safety")).result()
    assert all(one.assets["objects"].found is None for one in looked)
    assert all(one.assets["safety"].found is not None for one in looked)
    assert sum(assets == ("objects",) for assets, _ in Process.asked) == 3


def test_pictures_that_kill_do_not_cost_the_others(pool: AnalysisPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than it takes to give up a model, but not in a row."""

    def dies(task: Mapping[str, Any]) -> dict[str, Any] | None:
        return None if any(int(item["paths"][0][:-5]) % 2 for item in task["items"]) else answer(task)

    behave(monkeypatch, dies)
    looked = pool.submit(items(12, "objects")).result()
    assert [one.assets["objects"].has_killed for one in looked] == [False, True] * 6
    assert [one.assets["objects"].found is None for one in looked] == [False, True] * 6


def test_a_model_that_was_given_up_is_tried_again_with_the_next_files(
    pool: AnalysisPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(monkeypatch, lambda task: None)
    looked = pool.submit(items(4, "objects")).result()
    assert [one.assets["objects"].has_killed for one in looked] == [True, True, True, False]
    behave(monkeypatch, answer)
    looked = pool.submit(items(4, "objects")).result()
    assert all(one.assets["objects"].found is not None for one in looked)


def test_want_of_memory_names_the_setting(pool: AnalysisPool, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, lambda task: {"memory": True})
    (looked,) = pool.submit(items(1, "objects")).result()
    assert "analysis_memory_bytes" in str(looked.assets["objects"].error)


def test_a_hanging_model_is_ended(pool: AnalysisPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(task: Mapping[str, Any]) -> dict[str, Any] | None:
        raise TimeoutError

    behave(monkeypatch, hangs)
    (looked,) = pool.submit(items(1, "texts")).result()
    assert "analysis_timeout_s" in str(looked.assets["texts"].error)


def test_a_model_that_cannot_be_used_says_so_for_every_picture(
    pool: AnalysisPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(task: Mapping[str, Any]) -> dict[str, Any]:
        said = answer(task)
        for one in said["result"]:
            one["assets"]["objects"] = {"model_error": "Model x is missing. media-assets models pull x"}
        return said

    behave(monkeypatch, refuses)
    looked = pool.submit(items(2, "objects")).result()
    assert all(one.assets["objects"].is_model_error for one in looked)
    assert Process.started == 1
