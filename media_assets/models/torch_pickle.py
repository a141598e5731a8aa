"""Weights that PyTorch saved, read without PyTorch: the format of ``torch.save`` before 1.6 (one pickle after another).

A pickle can name any function; this reader knows five names and refuses all others, so that a file can do nothing but
hold arrays. Format: ``_legacy_save`` in ``torch/serialization.py``.
"""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_HEADER_PICKLES = 3  # magic number, protocol version, facts about the machine
_COUNT = struct.Struct("<q")  # elements of a storage, before its values
_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class PickleFormatError(ValueError):
    """A file is not what PyTorch before 1.6 saved, or holds more than arrays."""


@dataclass
class _Storage:
    """A block of values that arrays are views of; read after the arrays were described."""

    dtype: np.dtype[Any]
    values: NDArray[Any] | None = None


@dataclass(frozen=True)
class _View:
    """An array in a storage; lengths in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> NDArray[Any]:
        values = self.storage.values
        if values is None:
            raise PickleFormatError("an array has no values")
        last = self.offset + sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        if self.offset < 0 or min(self.shape, default=1) < 1 or min(self.strides, default=0) < 0 or last >= len(values):
            raise PickleFormatError("an array lies outside of its values")
        steps = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps, writeable=False).copy()


def _view(storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: object) -> _View:
    return _View(storage, offset, tuple(shape), tuple(strides))


class _Reader(pickle.Unpickler):
    """Knows what a dictionary of arrays needs, and nothing else."""

    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        known: dict[tuple[str, str], Callable[..., object]] = {
            ("torch._utils", "_rebuild_tensor_v2"): _view,
            ("collections", "OrderedDict"): OrderedDict,
        }
        try:
            return known[module, name]
        except KeyError:
            raise PickleFormatError(f"the file names {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", np.dtype() as dtype, str(key), _, int(), None):
                return self._storages.setdefault(key, _Storage(dtype))
        raise PickleFormatError("the file refers to something that is no array")


def read_tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.pth`` file by name.

    Args:
        content: A dictionary of tensors that PyTorch before 1.6 saved.

    Raises:
        PickleFormatError: It is something else.
    """
    try:
        return _read(io.BytesIO(content))
    except PickleFormatError:
        raise
    except Exception as error:  # pickle raises whatever its instructions lead to
        raise PickleFormatError(f"the file is damaged ({type(error).__name__})") from error


def _read(file: io.BytesIO) -> dict[str, NDArray[Any]]:
    storages: dict[str, _Storage] = {}
    header = [_Reader(file, storages).load() for _ in range(_HEADER_PICKLES)]
    if header[:2] != [_MAGIC, _PROTOCOL]:
        raise PickleFormatError("the file was not saved by PyTorch before 1.6")
    views = _Reader(file, storages).load()
    for key in _Reader(file, storages).load():
        _read_storage(file, storages[key])
    return {str(name): view.array() for name, view in views.items()}


def _read_storage(file: io.BytesIO, storage: _Storage) -> None:
    (count,) = _COUNT.unpack(file.read(_COUNT.size))
    values = file.read(max(count, 0) * storage.dtype.itemsize)
    storage.values = np.frombuffer(values, storage.dtype)
    if len(storage.values) != count:
        raise PickleFormatError("the file was cut")
