"""How an op fails: with a message that the event log may keep."""

import dagster as dg

from media_assets.storage.private_text import without_names


def failure_of(error: Exception) -> dg.Failure:
    """Return the failure for an error that says what to do.

    Raise it ``from None``: Dagster stores the messages of causes too, and those name keys of owners.
    """
    return dg.Failure(description=without_names(str(error)))
