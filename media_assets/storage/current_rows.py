"""Which rows of a table are current: those of the latest computation of each media file that no tombstone took away.

Pure arithmetic on columns, for ``catalog``; reads and writes nothing.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from media_assets.storage.columns import Table

_NEVER = np.iinfo(np.int64).min


def current_rows(
    table: Table, data: pa.Table, numbers: npt.NDArray[np.int64], removed: pa.Table
) -> npt.NDArray[np.int64]:
    """Positions of the current rows in ``data``, in the order of the table's key.

    Args:
        table: The table. Where assets share it, each of them replaces and removes its own rows only.
        data: All rows that may be current.
        numbers: Number of the part of each row; -1 for rows that were absorbed before.
        removed: Tombstones.
    """
    if data.num_rows == 0:
        return np.empty(0, np.int64)
    ids, media = _ranks(data["media_id"])
    assets, asset = _ranks(_assets(table, data))
    # Rows of one computation have one owner: the media file and, where assets share the table, the asset.
    owners, owner = np.unique(media * len(assets) + asset, return_inverse=True)
    _, run = _ranks(data["run_id"])
    computed_at = _microseconds(data["computed_at"])
    # The last row of each owner belongs to its latest computation; with it stand all rows of the same time and part.
    by_age = np.lexsort((numbers, run, computed_at, owner))
    last = by_age[np.append(np.diff(owner[by_age]) != 0, True)]
    winner = last[owner]  # last is in the order of owner, which counts from 0 without gaps
    keep = (computed_at == computed_at[winner]) & (run == run[winner]) & (numbers == numbers[winner])
    gone_at = _gone_at(table, removed, ids, assets, owners)
    kept = np.nonzero(keep & (computed_at > gone_at[owner]))[0]
    order = data.select(list(table.key)).take(kept)
    position = pc.sort_indices(order, sort_keys=[(name, "ascending") for name in table.key])
    return kept[position.to_numpy().astype(np.int64)]


def _gone_at(
    table: Table,
    removed: pa.Table,
    ids: "pa.Array[Any]",
    assets: "pa.Array[Any]",
    owners: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """For each owner the time up to which its rows are gone."""
    gone_at = np.full(len(owners), _NEVER)
    at = _microseconds(removed["computed_at"])
    media = _positions(removed["media_id"], ids)
    is_whole = removed["asset"].is_null().to_numpy() if table.split is not None else np.full(len(at), True)
    of_media = np.full(len(ids), _NEVER)
    whole = is_whole & (media >= 0)
    np.maximum.at(of_media, media[whole], at[whole])
    np.maximum(gone_at, of_media[owners // len(assets)], out=gone_at)
    asset = _positions(_assets(table, removed), assets)
    single = ~is_whole & (media >= 0) & (asset >= 0)
    wanted = media[single] * len(assets) + asset[single]
    place = np.minimum(np.searchsorted(owners, wanted), len(owners) - 1)
    found = owners[place] == wanted
    np.maximum.at(gone_at, place[found], at[single][found])
    return gone_at


def _assets(table: Table, rows: pa.Table) -> "pa.ChunkedArray[Any]":
    """The asset of each row; one and the same where assets do not share the table."""
    if table.split is None:
        return pa.chunked_array([pa.repeat(pa.scalar(""), rows.num_rows)])
    column, when_null = table.split
    return rows[column].fill_null(pa.scalar(when_null))


def _ranks(column: "pa.ChunkedArray[Any]") -> tuple["pa.Array[Any]", npt.NDArray[np.int64]]:
    """Distinct values of a column, sorted, and for each row the position of its value in them."""
    unique: Any = column.unique()  # pyarrow-stubs takes it for a ChunkedArray
    values: pa.Array[Any] = unique.take(pc.sort_indices(unique))
    return values, _positions(column, values)


def _positions(column: "pa.ChunkedArray[Any]", values: "pa.Array[Any]") -> npt.NDArray[np.int64]:
    """Position in ``values`` for each row of the column, -1 where it is not among them."""
    found: Any = pc.index_in(column, value_set=values)  # chunked as its input is, other than in pyarrow-stubs
    positions: npt.NDArray[np.int64] = found.fill_null(-1).to_numpy().astype(np.int64)
    return positions


def _microseconds(column: "pa.ChunkedArray[Any]") -> npt.NDArray[np.int64]:
    return column.cast(pa.int64()).to_numpy()
