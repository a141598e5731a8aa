"""What tables may not hold of owners who do not consent: whole rows, or single columns.

Pure functions over Arrow tables. One rule for what is deleted and for what a proof looks for.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from media_assets.media.position_tags import POSITION_FIELDS, without_position_tags
from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, SCENES, TEXTS
from media_assets.pipeline.assets import SHAREABLE, TABLE_OF
from media_assets.pipeline.consent import Consents, Purpose

Mask = Any
"""One truth value for each row."""

_PLACE_COLUMNS = (*POSITION_FIELDS, "place_city", "place_region", "place_country_code")
_SHARED_PLACE = ("latitude_deg", "longitude_deg", "place_city", "place_country_code", "location_level")
_VECTOR_COLUMNS = ("embedding", "embedding_model", "embedding_metric")
_TAGS = "tags_json"


@dataclass(frozen=True)
class TableRule:
    """What one table may not hold without consent.

    Attributes:
        table: Its name.
        rows: Purposes each of which whole rows need.
        columns: Columns that need a purpose, by purpose.
    """

    table: str
    rows: tuple[Purpose, ...] = ()
    columns: Mapping[Purpose, tuple[str, ...]] | None = None

    def edit(self, consents: Consents) -> Callable[[pa.Table], pa.Table]:
        """Return what gives a table without what is not allowed; the very same table when nothing changes."""
        return lambda data: self._edited(data, consents)

    def count(self, data: pa.Table, consents: Consents) -> int:
        """Return how many rows hold something that is not allowed."""
        return int(pc.sum(self._wrong(data, consents)).as_py() or 0)

    def _denied(self, data: pa.Table, consents: Consents, purpose: Purpose) -> Mask:
        owners = [one for one in owners_in(data) if not consents.allows(one, purpose)]
        return pc.is_in(data["owner"], value_set=pa.array(owners, pa.string()))

    def _wrong_rows(self, data: pa.Table, consents: Consents) -> Mask:
        wrong: Mask = pa.chunked_array([pa.array([False] * data.num_rows, pa.bool_())])
        for purpose in self.rows:
            wrong = pc.or_(wrong, self._denied(data, consents, purpose))
        return wrong

    def _wrong(self, data: pa.Table, consents: Consents) -> Mask:
        if "owner" not in data.column_names:  # tombstones
            return pa.chunked_array([pa.array([False] * data.num_rows, pa.bool_())])
        wrong = self._wrong_rows(data, consents)
        for purpose, columns in (self.columns or {}).items():
            denied = self._denied(data, consents, purpose)
            for name in columns:
                if name == _TAGS:
                    tells = pa.chunked_array([[_tells_place(one) for one in data[name].to_pylist()]], pa.bool_())
                    wrong = pc.or_(wrong, pc.and_(denied, tells))
                elif name in data.column_names:
                    wrong = pc.or_(wrong, pc.and_(denied, pc.is_valid(data[name])))
        return wrong

    def _edited(self, data: pa.Table, consents: Consents) -> pa.Table:
        if not data.num_rows or self.count(data, consents) == 0:
            return data
        allowed: Mask = pc.invert(self._wrong_rows(data, consents))
        left = data.filter(allowed)
        for purpose, columns in (self.columns or {}).items():
            denied = self._denied(left, consents, purpose)
            for name in columns:
                if name in left.column_names:
                    left = _blanked(left, name, denied)
        return left


def _tells_place(tags_json: str | None) -> bool:
    return tags_json is not None and without_position_tags(tags_json) != tags_json


def _blanked(data: pa.Table, name: str, where: Mask) -> pa.Table:
    field = data.schema.field(name)
    if name == _TAGS:
        values = [
            without_position_tags(tags) if is_denied else tags
            for tags, is_denied in zip(data[name].to_pylist(), where.to_pylist(), strict=True)
        ]
        column: Any = pa.array(values, field.type)
    elif pa.types.is_list(field.type):  # if_else knows no lists
        denied = where.to_pylist()
        column = pa.array(
            [None if no else one for one, no in zip(data[name].to_pylist(), denied, strict=True)], field.type
        )
    else:
        column = pc.if_else(where, pa.scalar(None, field.type), data[name])
    return data.set_column(data.schema.get_field_index(name), field, column)


RULES: tuple[TableRule, ...] = (
    TableRule(EMBEDDINGS, ("analysis",)),
    TableRule(OBJECTS, ("analysis",)),
    TableRule(SCENES, ("analysis",)),
    TableRule(SAFETY, ("analysis",)),
    TableRule(TEXTS, ("text",)),
    TableRule(FACES, ("faces",), {"recognition": _VECTOR_COLUMNS}),
    TableRule("people", ("faces", "recognition")),
    TableRule("metadata", (), {"location": (*_PLACE_COLUMNS, _TAGS)}),
    TableRule(TABLE_OF[SHAREABLE], ("publication",), {"location": _SHARED_PLACE}),
)
"""What consents decide in the tables. Of ``near_duplicates`` nothing: it compares appearances."""


def owners_in(data: pa.Table) -> Collection[str]:
    """Return the owners of rows."""
    return [str(one) for one in pc.unique(data["owner"]).to_pylist()] if "owner" in data.column_names else []
