"""Directories of TIFF blocks: types, bounds, damage."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.ifd import MAX_ENTRIES, MAX_NUMBERS, MAX_VALUE_BYTES, Directories


def block(
    entries: list[tuple[int, int, int, bytes]], *, order: str = "<", magic: int = 42, pad: bytes = b"", count: int = -1
) -> bytes:
    """A classic block of one directory; values of more than 4 bytes follow it."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", magic, 8)
    place = 8 + 2 + 12 * len(entries) + 4
    table, data = b"", b""
    for tag, kind, number, value in entries:
        inline = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", place + len(data))
        data += value if len(value) > 4 else b""
        table += struct.pack(f"{order}HHI", tag, kind, number) + inline
    return head + struct.pack(f"{order}H", len(entries) if count < 0 else count) + table + bytes(4) + data + pad


@pytest.mark.parametrize("order", ["<", ">"])
def test_all_types_are_read(order: str) -> None:
    entries = [
        (1, 2, 9, b"Caf\xc3\xa9\0\xff\0\0"),
        (2, 3, 1, struct.pack(f"{order}H", 7)),
        (3, 4, 2, struct.pack(f"{order}II", 8, 9)),
        (4, 5, 2, struct.pack(f"{order}IIII", 1, 4, 1, 0)),
        (5, 10, 1, struct.pack(f"{order}ii", -1, 2)),
        (6, 7, 6, b"\0\1\2\3\4\5"),
        (7, 12, 1, struct.pack(f"{order}d", 0.5)),
        (8, 1, 1, b"\2"),
        (9, 9, 1, struct.pack(f"{order}i", -5)),
    ]
    directories = Directories(block(entries, order=order))
    found = directories.first()
    rationals = found.pop(4)
    assert found == {1: "Café\0ÿ", 2: 7, 3: (8, 9), 5: -0.5, 6: b"\0\1\2\3\4\5", 7: 0.5, 8: b"\2", 9: -5}
    assert isinstance(rationals, tuple)
    assert rationals[0] == 0.25
    assert rationals[1] != rationals[1]
    assert directories.damaged == 0


def test_a_damaged_entry_does_not_cost_the_others() -> None:
    entries = [
        (1, 2, 0xFFFF_FFF0, b"12345"),  # longer than any value
        (2, 99, 1, b"\1"),  # no such type
        (3, 3, 1, struct.pack("<H", 5)),
    ]
    directories = Directories(block(entries))
    assert directories.first() == {3: 5}
    assert directories.damaged == 1  # an unknown type; a value that is too long may be all there


def test_a_value_outside_of_the_block_is_left_out() -> None:
    data = block([(1, 2, 20, b"x" * 20), (2, 3, 1, b"\5\0")])[:-10]
    directories = Directories(data)
    assert directories.first() == {2: 5}
    assert directories.damaged == 1


def test_the_first_of_two_equal_tags_counts() -> None:
    assert Directories(block([(1, 3, 1, b"\1\0"), (1, 3, 1, b"\2\0")])).first() == {1: 1}


def test_loops_end() -> None:
    data = block([(0x8769, 4, 1, struct.pack("<I", 8)), (1, 3, 1, b"\1\0")])
    directories = Directories(data)
    main = directories.first()
    assert main[1] == 1
    assert directories.below(main, 0x8769) == {}
    assert directories.damaged == 1


def test_a_pointer_that_is_text_is_damage() -> None:
    directories = Directories(block([(0x8769, 2, 4, b"abc\0")]))
    assert directories.below(directories.first(), 0x8769) == {}
    assert directories.damaged == 1


def test_counts_and_sizes_are_bounded() -> None:
    many = Directories(block([(n, 3, 1, b"\1\0") for n in range(1, MAX_ENTRIES + 50)]))
    assert len(many.first()) == MAX_ENTRIES
    assert many.damaged == 1
    large = Directories(block([(1, 7, MAX_VALUE_BYTES + 1, b"x" * (MAX_VALUE_BYTES + 1)), (2, 3, 1, b"\1\0")]))
    assert large.first() == {2: 1}
    assert large.damaged == 0  # data that is too long for a description is no damage
    numbers = Directories(block([(1, 3, MAX_NUMBERS + 1, bytes(2 * (MAX_NUMBERS + 1)))]))
    assert numbers.first() == {}
    overflowing = Directories(block([(1, 3, 1, b"\1\0")], count=0xFFFF))
    assert overflowing.first()[1] == 1
    assert overflowing.damaged == 1


def test_bigtiff() -> None:
    head = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16)
    entry = struct.pack("<HHQ", 1, 16, 1) + struct.pack("<Q", 2**40)
    assert Directories(head + struct.pack("<Q", 1) + entry + bytes(8)).first() == {1: 2**40}


@pytest.mark.parametrize("magic", [0x55, 0x4F52, 0x5352])
def test_raw_files_that_are_tiff_but_for_the_number(magic: int) -> None:
    assert Directories(block([(1, 3, 1, b"\1\0")], magic=magic)).first() == {1: 1}


def test_leading_bytes_are_skipped() -> None:
    assert Directories(b"Exif\0\0Exif\0\0" + block([(1, 3, 1, b"\1\0")])).first() == {1: 1}


class _Counting(io.BytesIO):
    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


def test_of_a_file_only_the_directories_are_read_from_its_position_on() -> None:
    file = _Counting(b"in front" + block([(1, 2, 20, b"x" * 19 + b"\0")], order=">", pad=bytes(1_000_000)))
    file.seek(8)
    assert Directories(file).first() == {1: "x" * 19}
    assert file.read_bytes < 200


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0", b"JUNK" * 20, b"II+\0\x08\0\0\0", b"MM\0\0\0\0\0\x08"])
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(ValueError):
        Directories(data)


@given(st.binary(max_size=400), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"]))
def test_any_bytes_give_directories(data: bytes, header: bytes) -> None:
    try:
        directories = Directories(header + data)
    except ValueError:
        return
    main = directories.first()
    assert len(main) <= MAX_ENTRIES
    assert len(directories.below(main, 0x8769)) <= MAX_ENTRIES
