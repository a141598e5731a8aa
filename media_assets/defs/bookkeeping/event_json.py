"""JSON of events, as Dagster writes it, where most of a batch is the same for all of its events.

Dagster packs each field of each event by itself, which takes longer than writing it. Here the common part is packed
once, and what differs is put in: time, message, partition, metadata, tags. What is of no known form is packed by
Dagster. The text is the same, to the byte (tested with made-up events).
"""

import json
import secrets
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any

import dagster as dg
from dagster import AssetKey
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._serdes import serialize_value

# All fields but those that are an event's own.
_OF_ENTRY = itemgetter(
    *(at for at, name in enumerate(EventLogEntry._fields) if name not in ("timestamp", "dagster_event"))
)
_OF_EVENT = itemgetter(
    *(at for at, name in enumerate(DagsterEvent._fields) if name not in ("message", "event_specific_data"))
)
# A value of each simple kind of metadata, to see where it is put.
_SAMPLES: tuple[tuple[Any, Any], ...] = (
    (dg.TextMetadataValue, secrets.token_hex(16)),
    (dg.MarkdownMetadataValue, secrets.token_hex(16)),
    (dg.UrlMetadataValue, secrets.token_hex(16)),
    (dg.IntMetadataValue, 271828182),
    (dg.FloatMetadataValue, 2718.28125),
    (dg.BoolMetadataValue, True),
)


def _around(text: str, value: object) -> tuple[str, str]:
    before, _, after = text.rpartition(json.dumps(value))
    return before, after


_VALUES = {kind: _around(serialize_value(kind(sample)), sample) for kind, sample in _SAMPLES}


def _metadata_entry(label: str, value: Any) -> str:
    found = _VALUES.get(type(value))
    packed = serialize_value(value) if found is None else f"{found[0]}{_simple(value.value)}{found[1]}"
    return (
        f'{{"__class__": "EventMetadataEntry", "description": null, "entry_data": {packed}, "label": {_simple(label)}}}'
    )


def _simple(value: object) -> str:
    """JSON of a value that has no parts; ``json.dumps`` sets up an encoder for each call."""
    return encode_basestring_ascii(value) if type(value) is str else json.dumps(value)


class EventFrame:
    """Packs the events of a batch that differ only by what is their own.

    Args:
        event: One of them: a materialization, a plan of one, or an observation.
    """

    def __init__(self, event: EventLogEntry) -> None:
        time, message, data, self._partition = (secrets.token_hex(16) for _ in range(4))
        self._common = _common(event)
        self._of_asset: dict[tuple[type, AssetKey], str] = {}
        found = event.get_dagster_event()._replace(message=message, event_specific_data=data)  # type: ignore[arg-type]
        text = serialize_value(event._replace(timestamp=time, dagster_event=found))  # type: ignore[arg-type]
        # In the order of their names: data, message; the time of the entry is behind its event.
        self._start, rest = text.split(f'"{data}"')
        self._to_message, rest = rest.split(f'"{message}"')
        self._to_time, self._end = rest.split(f'"{time}"')

    def fits(self, event: EventLogEntry) -> bool:
        """Return whether another event has the common part of this frame."""
        return _common(event) == self._common

    def fill(self, event: EventLogEntry) -> str:
        """Return the JSON of an event that fits."""
        found = event.get_dagster_event()
        data, message = self._data(found.event_specific_data), _simple(found.message)
        return "".join(
            (self._start, data, self._to_message, message, self._to_time, json.dumps(event.timestamp), self._end)
        )

    def _data(self, data: Any) -> str:
        if isinstance(data, AssetMaterializationPlannedData) and data.partition and not data.partitions_subset:
            return self._plan(data)
        if isinstance(data, StepMaterializationData) and not data.asset_lineage:
            return self._materialization(data)
        return serialize_value(data)

    def _plan(self, data: AssetMaterializationPlannedData) -> str:
        """Plans of one asset differ by their partition only."""
        key = (AssetMaterializationPlannedData, data.asset_key)
        if key not in self._of_asset:
            self._of_asset[key] = serialize_value(data._replace(partition=self._partition))
        return self._of_asset[key].replace(f'"{self._partition}"', _simple(data.partition))

    def _materialization(self, data: StepMaterializationData) -> str:
        made = data.materialization
        if made.description is not None:
            return serialize_value(data)
        key = (StepMaterializationData, made.asset_key)
        if key not in self._of_asset:
            empty = made._replace(metadata={}, partition=self._partition, tags={self._partition: "tag"})
            self._of_asset[key] = serialize_value(data._replace(materialization=empty))
        entries = ", ".join(_metadata_entry(label, value) for label, value in made.metadata.items())
        # Values last: nothing is replaced inside of them.
        before, after = self._of_asset[key].split('"metadata_entries": []')
        after = after.replace(f'{{"{self._partition}": "tag"}}', json.dumps(made.tags, sort_keys=True))
        after = after.replace(f'"{self._partition}"', _simple(made.partition))
        return f'{before}"metadata_entries": [{entries}]{after}'


def _common(event: EventLogEntry) -> tuple[Any, ...]:
    """Return what an event of a batch has in common with the others, if they fit one frame."""
    return (*_OF_ENTRY(event), *_OF_EVENT(event.get_dagster_event()))
