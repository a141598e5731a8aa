"""The stores and the ledger that tests run on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from media_assets.storage.ledger import Ledger
from media_assets.storage.objects import ObjectStore, open_store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A folder, and the client of remote stores."""
    return open_store(str(tmp_path / "library") if request.param == "local" else "memory://")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a ledger that does not exist yet, in a folder that does not either."""
    return f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """A new ledger."""
    opened = Ledger(url)
    yield opened
    opened.close()
