import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.storage.sidecar_names import is_sidecar, media_keys, sidecar_keys, sidecar_rank

LONG = "IMG_20190706_143000_with_a_name_of_47_character"  # of the stem


def belongs(sidecar: str, media: str) -> bool:
    return not sidecar_keys(sidecar).isdisjoint(media_keys(media))


@pytest.mark.parametrize(
    "name",
    [
        "a.xmp",
        "a.jpg.xmp",
        "A.JPG.XMP",
        "a.jpg.json",
        "a.HEIC.JSON",
        "a.jpg(1).json",
        "a(1).jpg.json",
        "a.jpg.supplemental-metadata.json",
        "a.jpg.supplemental-me.json",
        "a.jpg.s.json",
        "a.jpg..json",
        "a.mp4.supplemental-metadata(12).json",
        f"{LONG[:46]}.json",
        f"{LONG[:46]}(3).json",
        "ann/2019/a.dng.xmp",
    ],
)
def test_a_sidecar_is_known_by_its_name(name: str) -> None:
    assert is_sidecar(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "package.json",
            "metadata.json",
            "a.json",
            "a.txt.json",
            ".json",
            ".xmp",
            "xmp",
            "a.xmp.bak",
            "a.jpg",
            "json",
        ),
        *("a.jpg.supplemental-data.json", "a.jpg.metadata.json", "x.jpg/a", f"{LONG}.json", "(1).json", ""),
    ],
)
def test_other_names_are_files_like_any_other(name: str) -> None:
    assert not is_sidecar(name)


@pytest.mark.parametrize(
    ("sidecar", "media"),
    [
        ("a.jpg.xmp", "a.jpg"),
        ("a.JPG.xmp", "a.jpg"),
        ("a.jpg.XMP", "a.JPG"),
        ("a.xmp", "a.jpg"),
        ("a.xmp", "a.CR3"),
        ("a.xmp", "a.jpg.png.heic"[:5]),
        ("a.b.xmp", "a.b.dng"),
        ("u/v/a.xmp", "u/v/a.dng"),
        ("a.jpg.json", "a.jpg"),
        ("a.jpg.json", "a.JPG"),
        ("a(1).jpg.json", "a(1).jpg"),
        ("a.jpg(1).json", "a(1).jpg"),
        ("a.jpg.supplemental-metadata.json", "a.jpg"),
        ("a.jpg.supplemental-me.json", "a.jpg"),
        ("a.jpg.supplemental-metadata(1).json", "a(1).jpg"),
        ("a.jpg..json", "a.jpg"),
        (f"{LONG[:46]}.json", f"{LONG}.jpg"),
        (f"{LONG[:46]}(2).json", f"{LONG}(2).jpg"),
        (f"{LONG[:41]}.jpg..json", f"{LONG[:41]}.jpg"),
        (f"{LONG[:40]}.jpg.s.json", f"{LONG[:40]}.jpg"),
        (f"{LONG[:43]}.jp.json", f"{LONG[:43]}.jpg"),
        ("caf\u00e9.jpg.json", "cafe\u0301.jpg"),
        ("\u5199\u771f 2004\u5e748\u6708.jpg.xmp", "\u5199\u771f 2004\u5e748\u6708.jpg"),
    ],
)
def test_a_sidecar_belongs_to_the_file_that_its_name_names(sidecar: str, media: str) -> None:
    assert is_sidecar(sidecar)
    assert belongs(sidecar, media)


@pytest.mark.parametrize(
    ("sidecar", "media"),
    [
        ("a.jpg.xmp", "a.png"),
        ("a.xmp", "b.jpg"),
        ("a.xmp", "ab.jpg"),
        ("a.xmp", "A.jpg"),
        ("a.xmp", "u/a.jpg"),
        ("u/a.xmp", "v/a.jpg"),
        ("a.jpg.json", "a(1).jpg"),
        ("a.jpg(1).json", "a.jpg"),
        ("a.jpg(1).json", "a(2).jpg"),
        ("a.jpg.json", "a.png"),
        ("a.jpg.json", "a.jpg.png"),
        (f"{LONG[:46]}.json", f"{LONG[:45]}x.jpg"),
    ],
)
def test_a_sidecar_belongs_to_no_other_file(sidecar: str, media: str) -> None:
    assert is_sidecar(sidecar)
    assert not belongs(sidecar, media)


def test_xmp_of_one_file_is_trusted_before_that_of_the_stem_before_takeout() -> None:
    names = ["u/a.jpg.json", "u/a.xmp", "u/a.jpg.xmp", "u.x/a"]
    assert [sidecar_rank(name) for name in names] == [2, 1, 0, 1]


_STEMS = st.text(st.characters(exclude_characters="/\0(", exclude_categories=("Cs",)), min_size=1, max_size=70).map(
    lambda text: unicodedata.normalize("NFC", text)
)


@given(_STEMS, st.sampled_from(["jpg", "JPG", "heic", "mp4", "dng"]), st.integers(0, 200))
def test_what_takeout_and_editors_would_call_it_is_found(stem: str, extension: str, number: int) -> None:
    """As Takeout makes names: the supplement is added, the whole is cut to 46 characters, the counter comes last."""
    for shown, counter in ((f"{stem}.{extension}", ""), (f"{stem}({number}).{extension}", f"({number})")):
        title = f"{stem}.{extension}"
        for base in (f"{title}.supplemental-metadata"[:46], title[:46]):
            name = f"{base}{counter}.json"
            assert is_sidecar(name)
            assert belongs(name, shown)
        assert belongs(f"{shown}.xmp", shown)
        assert belongs(f"{shown.rpartition('.')[0]}.xmp", shown)


@given(st.text(max_size=80))
def test_any_name_has_an_answer(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    assert media_keys(name)
    assert not is_sidecar(name) or sidecar_keys(name)
