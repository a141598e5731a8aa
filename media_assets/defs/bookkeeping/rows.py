"""Rows of asset events, with what many events have in common worked out once.

Most of what an event costs is turning it into JSON: of each event of a run only the time, the message and what happened
are its own.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagster import AssetKey
from dagster._core.events import (
    ASSET_EVENTS,
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._serdes import serialize_value

_KNOWN_DATA = (StepMaterializationData, AssetMaterializationPlannedData, AssetObservationData)


@dataclass(frozen=True)
class EventRow:
    """An event and its row in table ``event_logs``.

    Attributes:
        asset: Name of its asset as the tables have it, if it is an event of one.
        tags: Of a materialization or an observation.
    """

    event: EventLogEntry
    values: dict[str, Any]
    asset: str | None
    tags: dict[str, str]

    @property
    def kind(self) -> str:
        """Type of the event."""
        return str(self.values["dagster_event_type"])

    @property
    def is_of_asset(self) -> bool:
        """Whether it counts as an event of an asset."""
        return self.event.dagster_event_type in ASSET_EVENTS


class _Frame:
    """JSON of everything but the time, the message and the data of an event."""

    def __init__(self, event: EventLogEntry) -> None:
        self._time, self._message, self._data = (secrets.token_hex(16) for _ in range(3))
        self._common = _without_own(event)
        found = event.get_dagster_event()._replace(message=self._message, event_specific_data=self._data)  # type: ignore[arg-type]
        self._text = serialize_value(event._replace(timestamp=self._time, dagster_event=found))  # type: ignore[arg-type]

    def fits(self, event: EventLogEntry) -> bool:
        return _without_own(event) == self._common

    def fill(self, event: EventLogEntry) -> str:
        found = event.get_dagster_event()
        return (
            self._text.replace(f'"{self._time}"', json.dumps(event.timestamp))
            .replace(f'"{self._message}"', json.dumps(found.message))
            .replace(f'"{self._data}"', serialize_value(found.event_specific_data))
        )


def _without_own(event: EventLogEntry) -> EventLogEntry:
    found = event.get_dagster_event()._replace(message=None, event_specific_data=None)
    return event._replace(timestamp=0.0, dagster_event=found)


def event_rows(events: Sequence[EventLogEntry]) -> list[EventRow]:
    """Return the rows of events of Dagster, with the values that ``SqlEventLogStorage`` gives them."""
    frame: _Frame | None = None
    names: dict[AssetKey, str] = {}
    rows = []
    for event in events:
        found = event.get_dagster_event()
        if isinstance(found.event_specific_data, _KNOWN_DATA):
            if frame is None or not frame.fits(event):
                frame = _Frame(event)
            text = frame.fill(event)
        else:
            text = serialize_value(event)
        key = found.asset_key
        if key is not None and key not in names:
            names[key] = key.to_string()
        asset = None if key is None else names[key]
        values = {
            "run_id": event.run_id,
            "event": text,
            "dagster_event_type": found.event_type_value,
            "timestamp": datetime.fromtimestamp(event.timestamp, UTC).replace(tzinfo=None),
            "step_key": found.step_key,
            "asset_key": asset,
            "partition": found.partition or None,
        }
        rows.append(EventRow(event, values, asset, _tags(found)))
    return rows


def _tags(found: Any) -> dict[str, str]:
    if found.event_type_value == DagsterEventType.ASSET_MATERIALIZATION.value:
        return dict(found.event_specific_data.materialization.tags or {})
    if found.event_type_value == DagsterEventType.ASSET_OBSERVATION.value:
        return dict(found.event_specific_data.asset_observation.tags or {})
    return {}
