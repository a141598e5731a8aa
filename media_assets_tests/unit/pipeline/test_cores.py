"""The budget of cores: order, bounds, ends."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from media_assets.pipeline.cores import CoreBudget, CoresClosedError

WAIT_S = 20.0


def started(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def waits_for(budget: CoreBudget, count: int) -> None:
    """Return when so many wait."""
    deadline = time.monotonic() + WAIT_S
    while len(budget._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_never_more_cores_are_held_than_there_are() -> None:
    budget, lock = CoreBudget(3), threading.Lock()
    held = most = served = 0

    def work(cores: int) -> None:
        nonlocal held, most, served
        with budget.hold(cores):
            with lock:
                held += min(cores, 3)
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= min(cores, 3)
                served += 1

    chance = random.Random(4)
    wishes = [chance.choice([1, 1, 1, 2, 3, 9]) for _ in range(60)]
    threads = [started(partial(work, cores)) for cores in wishes]
    for thread in threads:
        thread.join(WAIT_S)
    assert (served, held) == (60, 0)
    assert most == 3


def test_cores_are_handed_out_in_the_order_of_asking() -> None:
    """One that wants all of them is not overtaken by ones that want few, although cores are free for them."""
    budget, order = CoreBudget(2), list[str]()
    done = threading.Event()

    def work(name: str, cores: int) -> None:
        with budget.hold(cores):
            order.append(name)

    def first() -> None:
        with budget.hold(1):
            done.wait(WAIT_S)

    threads = [started(first)]
    while budget._free == 2:
        time.sleep(0.001)
    for number, (name, cores) in enumerate([("video", 2), ("file 1", 1), ("video 2", 2), ("file 2", 1)], start=1):
        threads.append(started(partial(work, name, cores)))
        waits_for(budget, number)
    assert order == []
    done.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert order == ["video", "file 1", "video 2", "file 2"]


def test_an_error_gives_the_cores_back() -> None:
    budget = CoreBudget(1)
    with pytest.raises(ZeroDivisionError), budget.hold(1):
        raise ZeroDivisionError
    with budget.hold(1):
        pass


def test_closing_ends_waiters_and_leaves_holders_alone() -> None:
    budget, ended = CoreBudget(1), list[str]()

    def wait() -> None:
        try:
            with budget.hold(1):
                ended.append("served")
        except CoresClosedError:
            ended.append("closed")

    with budget.hold(1):
        threads = [started(wait) for _ in range(3)]
        waits_for(budget, 3)
        budget.close()
        for thread in threads:
            thread.join(WAIT_S)
        assert ended == ["closed"] * 3
    with pytest.raises(CoresClosedError), budget.hold(1):
        pass
