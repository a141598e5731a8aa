# ruff: noqa: DTZ001  # wall times have no zone
"""Dates in names."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.file_names import file_name_claims

WHEN = datetime(2019, 7, 6, 14, 30, 5)


@pytest.mark.parametrize(
    "name",
    [
        "IMG_20190706_143005.jpg",
        "VID_20190706_143005.mp4",
        "MVIMG_20190706_143005.jpg",
        "PANO_20190706_143005.vr.jpg",
        "00100dPORTRAIT_00100_BURST_20190706_143005_COVER.jpg",
        "20190706_143005.jpg",
        "20190706_143005(0).jpg",
        "20190706_143005_001.jpg",
        "IMG20190706143005.jpg",
        "VID20190706143005.mp4",
        "DJI_20190706143005_0001_D.JPG",
        "P20190706_143005.jpg",
        "2019-07-06 14.30.05.jpg",
        "2019-07-06 14_30_05.mov",
        "Screenshot_20190706-143005_Chrome.jpg",
        "Screenshot 2019-07-06 at 14.30.05.png",
        "Screen Shot 2019-07-06 at 2.30.05 PM.png",
        "Screenshot 2019-07-06 at 2.30.05\u202fPM.png",
        "Screenshot from 2019-07-06 14-30-05.png",
        "WhatsApp Image 2019-07-06 at 14.30.05.jpeg",
        "photo_2019-07-06_14-30-05.jpg",
        "signal-2019-07-06-143005.jpg",
        "signal-2019-07-06-14-30-05-678.jpg",
        "WIN_20190706_14_30_05_Pro.jpg",
        "20190706T143005.jpg",
    ],
)
def test_names_of_phones_and_programs(name: str) -> None:
    claims = file_name_claims(name)
    assert claims is not None
    assert [(time.local, time.utc_offset_minutes, time.source) for time in claims.times] == [(WHEN, None, "file_name")]


def test_pixel_names_are_utc_with_milliseconds() -> None:
    claims = file_name_claims("PXL_20201231_123456789.MP.jpg")
    assert claims is not None
    assert claims.times[0].local == datetime(2020, 12, 31, 12, 34, 56, 789_000)
    assert claims.times[0].utc_offset_minutes == 0


@pytest.mark.parametrize("name", ["IMG-20190706-WA0001.jpg", "VID-20190706-WA0001.mp4"])
def test_whatsapp_has_a_date_but_no_time(name: str) -> None:
    claims = file_name_claims(name)
    assert claims is not None
    assert claims.times == ()
    assert claims.tags == {"FileName.Date": "2019-07-06"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "photo.jpg",
        "IMG_0001.JPG",
        "20190706143005.jpg",
        "a3f20190706_143005.jpg",
        "20190706_143005123456.jpg",
        "120190706_143005.jpg",
        "20191306_143005.jpg",
        "20190230_143005.jpg",
        "20190706_253005.jpg",
        "2019-07-06.jpg",
        "2019-0706 14.30.05.jpg",
        "FB_IMG_1562423405123.jpg",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.jpg",
        "Screenshot 2019-07-06 at 14.30.05 PM.png",
        "٢٠١٩٠٧٠٦_١٤٣٠٠٥.jpg",
    ],
)
def test_names_without_a_time(name: str) -> None:
    assert file_name_claims(name) is None


@given(st.text("0123456789abcdef", min_size=20, max_size=64))
def test_hashes_have_no_time(name: str) -> None:
    assert file_name_claims(f"{name}.jpg") is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_name_is_read(before: str, behind: str) -> None:
    claims = file_name_claims(f"{before}20190706_143005{behind}")
    assert claims is None or claims.source == "file_name"
