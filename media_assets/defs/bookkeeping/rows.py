"""Rows of asset events, with what many events have in common worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import dagster as dg
from dagster import AssetKey
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._serdes import serialize_value

from media_assets.defs.bookkeeping.event_json import EventFrame

# Names of types, which need no look-up for each event.
_ASSET_EVENTS = frozenset(kind.value for kind in ASSET_EVENTS)
_CHECK_EVENTS = frozenset(kind.value for kind in ASSET_CHECK_EVENTS)


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
        return self.kind in _ASSET_EVENTS

    @property
    def is_of_check(self) -> bool:
        """Whether it counts as an event of an asset check."""
        return self.kind in _CHECK_EVENTS


def event_rows(events: Sequence[EventLogEntry]) -> list[EventRow]:
    """Return the rows of events of Dagster, with the values that ``SqlEventLogStorage`` gives them."""
    frame: EventFrame | None = None
    names: dict[AssetKey, str] = {}
    rows = []
    for event in events:
        found = event.get_dagster_event()
        about = _about(found)
        if about.is_common:
            if frame is None or not frame.fits(event):
                frame = EventFrame(event)
            text = frame.fill(event)
        else:
            text = serialize_value(event)
        key = about.key
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
            "partition": about.partition or None,
        }
        rows.append(EventRow(event, values, asset, about.tags))
    return rows


class _About(NamedTuple):
    key: AssetKey | None
    partition: str | None
    tags: dict[str, str]
    is_common: bool


def _about(found: DagsterEvent) -> _About:
    # Dagster's own properties compare the type of the event with each that there is, whenever they are asked.
    data = found.event_specific_data
    if isinstance(data, AssetMaterializationPlannedData):
        return _About(data.asset_key, data.partition, {}, is_common=True)
    of_asset: dg.AssetMaterialization | dg.AssetObservation | None = None
    if isinstance(data, StepMaterializationData):
        of_asset = data.materialization
    elif isinstance(data, AssetObservationData):
        of_asset = data.asset_observation
    if of_asset is None:
        return _About(found.asset_key, found.partition, {}, is_common=False)
    return _About(of_asset.asset_key, of_asset.partition, dict(of_asset.tags or {}), is_common=True)
