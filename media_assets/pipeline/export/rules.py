"""The rules of columns, applied: pseudonyms, rounding, and hiding what is rare. Pure, on Arrow columns."""

import hashlib
import hmac
import math
import secrets
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from media_assets.pipeline.export.policy import Privacy, Rule, Times, times_of

_PREFIXES: dict[Rule, str] = {"file": "file", "owner": "owner", "run": "run", "version": "version", "group": "group"}
_SIZE_DIGITS = 2
_DECIMALS = 2


class Pseudonyms:
    """Names that nobody can turn back: the key is made for one copy, and kept nowhere."""

    @cached_property
    def _key(self) -> bytes:
        return secrets.token_bytes(32)

    def of(self, kind: str, value: str) -> str:
        """Return the pseudonym of a value: ``<kind>-<16 hex digits>``, the same as long as this object lives."""
        digest = hmac.new(self._key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"{kind}-{digest[:16]}"


class ColumnRules:
    """Applies the rules of one copy.

    Args:
        privacy: How exactly places are told.
        times: How exactly times are told.
        k: Least number of files that have a value in common where only common values are kept.
        pseudonyms: The names of this copy.
    """

    def __init__(self, privacy: Privacy, times: Times, k: int, pseudonyms: Pseudonyms) -> None:
        self._privacy = privacy
        self._times = times
        self._k = k
        self._pseudonyms = pseudonyms

    def applied(self, rule: Rule, column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
        """Return the column of a copy. ``place``, ``fix`` and what is kept are returned as they are."""
        if rule in _PREFIXES:
            return _mapped(column, lambda value: self._pseudonyms.of(_PREFIXES[rule], value))
        if rule in ("time", "local_time", "zone") and pa.types.is_timestamp(column.type):
            return _cut(column, times_of(rule, self._times, self._privacy))
        if rule == "common":
            return self._common(column)
        if rule == "size":
            return _mapped(column, two_digits)
        if rule == "seconds":
            return _mapped(column, lambda value: max(1.0, float(round(value))))
        if rule == "rounded":
            return _mapped(column, lambda value: round(value, _DECIMALS) + 0.0)
        return column

    def _common(self, column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
        counts = Counter(column.to_pylist())
        return _mapped(column, lambda value: value if counts[value] >= self._k else None)


def two_digits(value: float) -> float:
    """Round to two significant digits; whole numbers stay whole."""
    if value == 0:
        return value
    return round(value, _SIZE_DIGITS - 1 - math.floor(math.log10(abs(value))))


def _mapped(column: "pa.ChunkedArray[Any]", change: Any) -> "pa.ChunkedArray[Any]":
    """Change each value that is there, each distinct one once."""
    values: Sequence[Any] = column.to_pylist()
    changed = {value: change(value) for value in set(values) if value is not None}
    return pa.chunked_array([pa.array([changed.get(value) for value in values], type=column.type)])


def _cut(column: "pa.ChunkedArray[Any]", times: Times) -> "pa.ChunkedArray[Any]":
    if times == "exact":
        return column
    cut: pa.ChunkedArray[Any] = pc.floor_temporal(column, unit=times).cast(column.type)
    return cut
