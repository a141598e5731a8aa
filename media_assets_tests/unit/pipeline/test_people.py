import numpy as np
import pytest

from media_assets.pipeline.derived_tables import TableBusyError
from media_assets.pipeline.library import Library
from media_assets.pipeline.people import editing, grouping
from media_assets.pipeline.people.editing import PeopleEditError, Person, person_called, read_people
from media_assets.pipeline.people.update import PeopleReport, update_people
from media_assets.storage import catalog, keys
from media_assets.storage.errors import CatalogError
from media_assets.storage.people_edits import read_edits
from media_assets.storage.tables import list_parts
from media_assets_tests.conftest import MakeLibrary
from media_assets_tests.unit.pipeline.analysed import Analysed, face, looks

ANN, BOB, CARL = 1, 2, 3


@pytest.fixture
def analysed(make_library: MakeLibrary) -> Analysed:
    return Analysed(make_library(recognition_owners=("alice", "carol")))


class Update:
    """Runs updates, each as a run of its own."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, library: Library, **options: bool) -> PeopleReport:
        self.runs += 1
        return update_people(library, f"update-{self.runs}", **options)


@pytest.fixture
def update() -> Update:
    return Update()


def pictures(person: int, shots: range, folder: str = "alice") -> dict[str, list[np.ndarray]]:
    """One picture a shot, each with the person's face."""
    return {f"{folder}/{person}-{shot}.jpg": [looks(person, shot)] for shot in shots}


def person_in(analysed: Analysed, source_key: str, face: int = 0) -> str:
    return analysed.persons()[keys.media_id(source_key)][face]


def ids_of(analysed: Analysed, person: int, shots: range) -> set[str]:
    return {person_in(analysed, f"alice/{person}-{shot}.jpg") for shot in shots}


def only(people: list[Person], name: str | None) -> Person:
    (found,) = [one for one in people if one.name == name]
    return found


# ---------------------------------------------------------------- grouping


def test_faces_of_one_person_get_one_identifier(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(6)) | pictures(BOB, range(5)))
    analysed.faces({"alice/both.jpg": [looks(ANN, 50), looks(BOB, 50)], "alice/alone.jpg": [looks(CARL, 0)]})
    report = update(analysed.library)
    (ann,), (bob,) = ids_of(analysed, ANN, range(6)), ids_of(analysed, BOB, range(5))
    assert ann != bob
    assert analysed.persons()[keys.media_id("alice/both.jpg")] == [ann, bob]
    assert person_in(analysed, "alice/alone.jpg") not in (ann, bob)  # one face is a person too
    assert (report.people, report.faces, report.faces_left_out, report.files_written) == (3, 14, 0, 13)
    row = analysed.current("people")[keys.media_id("alice/both.jpg")][1]
    assert (row["face_index"], row["x_min_px"], row["owner"], row["model"]) == (
        1,
        100.0,
        "alice",
        "mobilefacenet@a6cc9032",
    )
    assert 0 < row["distance"] < 0.2


def test_people_are_never_grouped_across_owners(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(3), "alice") | pictures(ANN, range(3), "carol"))
    update(analysed.library)
    assert person_in(analysed, "alice/1-0.jpg") != person_in(analysed, "carol/1-0.jpg")


def test_without_consent_nobody_is_grouped(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(3), "mallory"))  # encoded once, before the consent ended
    analysed.faces({"alice/a.jpg": [None]})  # found, not encoded
    report = update(analysed.library)
    assert analysed.current("people") == {}
    assert (report.people, report.owners_without_consent) == (0, 1)


def test_rows_go_when_consent_is_withdrawn_and_names_come_back_with_it(
    analysed: Analysed, update: Update, make_library: MakeLibrary
) -> None:
    analysed.faces(pictures(ANN, range(3)))
    update(analysed.library)
    editing.name_person(analysed.library, read_people(analysed.library)[0], "Ann")
    update(analysed.library)
    (before,) = ids_of(analysed, ANN, range(3))
    withdrawn = make_library()
    assert update(withdrawn).files_removed == 3
    assert analysed.current("people") == {}
    update(analysed.library)
    assert ids_of(analysed, ANN, range(3)) == {before}
    assert only(read_people(analysed.library), "Ann").person_id == before


def test_files_that_lost_their_faces_lose_their_rows(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(3)))
    update(analysed.library)
    analysed.faces({"alice/1-0.jpg": []})
    assert update(analysed.library).files_removed == 1
    assert set(analysed.persons()) == {keys.media_id("alice/1-1.jpg"), keys.media_id("alice/1-2.jpg")}


@pytest.mark.parametrize("most", [grouping.REGROUPED_FACES, 0])
def test_new_faces_join_known_people_and_only_their_files_are_written(
    analysed: Analysed, update: Update, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grouped anew each time, and, in large libraries, added to what was found before."""
    monkeypatch.setattr(grouping, "REGROUPED_FACES", most)
    analysed.faces(pictures(ANN, range(4)) | pictures(BOB, range(3)))
    update(analysed.library)
    (ann,), (bob,) = ids_of(analysed, ANN, range(4)), ids_of(analysed, BOB, range(3))
    analysed.faces(pictures(ANN, range(4, 9)) | pictures(CARL, range(2)))
    assert update(analysed.library).files_written == 7
    assert ids_of(analysed, ANN, range(9)) == {ann}
    assert ids_of(analysed, BOB, range(3)) == {bob}
    (carl,) = ids_of(analysed, CARL, range(2))
    assert carl not in (ann, bob)
    parts = list_parts(analysed.library.store, "people")
    assert update(analysed.library).files_written == 0
    assert list_parts(analysed.library.store, "people") == parts


def test_in_large_libraries_people_stay_as_they_are_until_all_are_grouped_anew(
    analysed: Analysed, update: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed.faces(pictures(ANN, range(4)))
    update(analysed.library)
    monkeypatch.setattr(grouping, "REGROUPED_FACES", 0)
    analysed.faces({"alice/1-3.jpg": [looks(BOB, 0)]})  # the face at this place is another one now
    update(analysed.library)
    assert len(ids_of(analysed, ANN, range(4))) == 1
    update(analysed.library, anew=True)
    assert person_in(analysed, "alice/1-3.jpg") not in ids_of(analysed, ANN, range(3))


def test_faces_are_found_again_after_they_were_detected_anew(analysed: Analysed, update: Update) -> None:
    """Other boxes, other numbers, other vectors: the place in the picture is what stays."""
    analysed.faces({f"alice/{shot}.jpg": [looks(ANN, shot), looks(BOB, shot)] for shot in range(4)})
    update(analysed.library)
    editing.name_person(
        analysed.library, person_called(read_people(analysed.library), person_in(analysed, "alice/0.jpg")), "Ann"
    )
    update(analysed.library)
    ann, bob = analysed.persons()[keys.media_id("alice/0.jpg")]
    turned = np.random.default_rng(0).normal(size=(32, 32))
    rotation, _ = np.linalg.qr(turned)  # another model: every vector is another one, distances stay
    again = {}
    for shot in range(4):
        both = [(looks(BOB, shot), 103.0, 0), (looks(ANN, shot), 3.0, 1)]
        again[f"alice/{shot}.jpg"] = [
            {
                "face_index": index,
                "embedding": (rotation @ vector).astype(np.float32).tolist(),
                "embedding_model": "dlib-resnet@0.1.0",
                "embedding_metric": "euclidean",
                "face_quality": 0.9,
                "x_min_px": left,
                "x_max_px": left + 78,
                "y_min_px": 12.0,
                "y_max_px": 99.0,
            }
            for vector, left, index in both
        ]
    analysed.write("faces", again)
    update(analysed.library)
    for shot in range(4):
        assert analysed.persons()[keys.media_id(f"alice/{shot}.jpg")] == [bob, ann]
    assert only(read_people(analysed.library), "Ann").person_id == ann


def test_while_a_model_is_replaced_a_person_keeps_the_identifier_under_both(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(6)))
    update(analysed.library)
    (ann,) = ids_of(analysed, ANN, range(6))
    analysed.faces(pictures(ANN, range(3)), embedding_model="dlib-resnet@0.1.0", embedding_metric="euclidean")
    update(analysed.library)
    assert ids_of(analysed, ANN, range(6)) == {ann}


def test_two_faces_in_one_picture_are_two_people_unless_they_are_all_but_equal(
    analysed: Analysed, update: Update
) -> None:
    """Siblings look alike; a collage shows the same shot twice."""
    siblings = looks(ANN, 0, 0.9), looks(ANN, 1, 0.9)
    assert 0.325 < 1 - float(siblings[0] @ siblings[1]) < 0.6
    analysed.faces({"alice/siblings.jpg": siblings, "alice/collage.jpg": [looks(BOB, 0), looks(BOB, 0)]})
    analysed.faces({"alice/apart-0.jpg": [looks(CARL, 0, 0.9)], "alice/apart-1.jpg": [looks(CARL, 1, 0.9)]})
    update(analysed.library)
    persons = analysed.persons()
    assert len(set(persons[keys.media_id("alice/siblings.jpg")])) == 2
    assert len(set(persons[keys.media_id("alice/collage.jpg")])) == 1
    assert person_in(analysed, "alice/apart-0.jpg") == person_in(analysed, "alice/apart-1.jpg")
    people = [person_called(read_people(analysed.library), one) for one in persons[keys.media_id("alice/siblings.jpg")]]
    editing.merge_people(analysed.library, *people)
    update(analysed.library)
    assert set(analysed.persons()[keys.media_id("alice/siblings.jpg")]) == {people[0].person_id}


# ---------------------------------------------------------------- weak faces


def test_weak_faces_join_the_clearly_nearest_person(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(4)) | pictures(BOB, range(4)))
    analysed.faces({"alice/small.jpg": [looks(ANN, 90)]}, face_quality=0.05)
    update(analysed.library)
    (ann,) = ids_of(analysed, ANN, range(4))
    assert person_in(analysed, "alice/small.jpg") == ann
    assert analysed.current("people")[keys.media_id("alice/small.jpg")][0]["is_weak"]


def test_weak_faces_do_not_join_who_is_in_the_picture_already(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(4)))
    strong, weak = looks(ANN, 4, 0.9), looks(ANN, 5, 0.9)
    both = [face(0, strong), face(1, weak, face_quality=0.05)]
    analysed.write("faces", {"alice/both.jpg": both})
    update(analysed.library)
    assert len(analysed.persons()[keys.media_id("alice/both.jpg")]) == 1


def test_weak_faces_start_no_person_and_join_no_two(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(4)) | pictures(BOB, range(4)))
    between = looks(ANN, 0) + looks(BOB, 0)
    analysed.faces({"alice/between.jpg": [between / np.linalg.norm(between)] * 3}, face_quality=0.05)
    analysed.faces({f"alice/crowd-{at}.jpg": [looks(CARL, at)] for at in range(5)}, face_quality=0.05)
    report = update(analysed.library)
    assert (report.people, report.faces, report.faces_left_out) == (2, 8, 8)


# ---------------------------------------------------------------- what users say


def test_a_merged_person_keeps_identifier_and_name_of_the_first(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(2)) | pictures(BOB, range(5)))
    update(analysed.library)
    (ann,), (bob,) = ids_of(analysed, ANN, range(2)), ids_of(analysed, BOB, range(5))
    for person, name in ((ann, "Ann"), (bob, "Bob")):
        editing.name_person(analysed.library, person_called(read_people(analysed.library), person), name)
    update(analysed.library)
    people = read_people(analysed.library)
    editing.merge_people(analysed.library, person_called(people, "Ann"), person_called(people, "Bob"))
    update(analysed.library)
    assert ids_of(analysed, ANN, range(2)) | ids_of(analysed, BOB, range(5)) == {ann}
    assert [(one.person_id, one.name) for one in read_people(analysed.library)] == [(ann, "Ann")]
    # New faces of either join; grouping anew changes nothing.
    analysed.faces(pictures(BOB, range(5, 7)))
    update(analysed.library, anew=True)
    assert ids_of(analysed, BOB, range(7)) == {ann}


def test_faces_that_are_split_off_stay_apart(analysed: Analysed, update: Update) -> None:
    """The vectors say that they are one person; the user knows better. Twins, for example."""
    analysed.faces(pictures(ANN, range(6)))
    update(analysed.library)
    (ann,) = ids_of(analysed, ANN, range(6))
    editing.name_person(analysed.library, read_people(analysed.library)[0], "Ann")
    update(analysed.library)
    twin = [keys.media_id(f"alice/1-{shot}.jpg") for shot in range(4)]  # the larger part is split off
    editing.split_person(
        analysed.library, only(read_people(analysed.library), "Ann"), [twin[0], *(f"{one}:0" for one in twin[1:])]
    )
    for anew in (False, True):
        update(analysed.library, anew=anew)
        assert ids_of(analysed, ANN, range(4, 6)) == {ann}
        (other,) = ids_of(analysed, ANN, range(4))
        assert other != ann
        assert {one.person_id: one.name for one in read_people(analysed.library)} == {ann: "Ann", other: None}
    # A name and a merger later on apply to what there is then.
    people = read_people(analysed.library)
    editing.name_person(analysed.library, person_called(people, other), "Zoe")
    update(analysed.library)
    assert {one.person_id: one.name for one in read_people(analysed.library)} == {ann: "Ann", other: "Zoe"}
    people = read_people(analysed.library)
    editing.merge_people(analysed.library, person_called(people, "Zoe"), person_called(people, "Ann"))
    update(analysed.library)
    assert [(one.person_id, one.name) for one in read_people(analysed.library)] == [(other, "Zoe")]


def test_weak_faces_that_are_split_off_become_a_person(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(4)))
    analysed.faces({"alice/small.jpg": [looks(ANN, 90)]}, face_quality=0.05)
    update(analysed.library)
    (ann,) = ids_of(analysed, ANN, range(4))
    editing.split_person(analysed.library, read_people(analysed.library)[0], [keys.media_id("alice/small.jpg")])
    update(analysed.library)
    assert ids_of(analysed, ANN, range(4)) == {ann}
    assert person_in(analysed, "alice/small.jpg") != ann


def test_a_name_can_be_changed_and_forgotten(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(2)))
    update(analysed.library)
    for said, expected in (("Ann", "Ann"), ("  Ann \t Lee ", "Ann Lee"), (None, None)):
        editing.name_person(analysed.library, read_people(analysed.library)[0], said)
        assert update(analysed.library).files_written == 2
        assert read_people(analysed.library)[0].name == expected
    assert [one.name for one in read_edits(analysed.library.store, "alice")] == ["Ann", "Ann Lee", None]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x1b[31m"])
def test_what_is_no_name_is_refused(analysed: Analysed, update: Update, name: str) -> None:
    analysed.faces(pictures(ANN, range(2)))
    update(analysed.library)
    with pytest.raises(PeopleEditError, match="printable"):
        editing.name_person(analysed.library, read_people(analysed.library)[0], name)


def test_edits_that_make_no_sense_are_refused(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(2)) | pictures(ANN, range(2), "carol"))
    update(analysed.library)
    one, other = read_people(analysed.library)
    with pytest.raises(PeopleEditError, match="one person already"):
        editing.merge_people(analysed.library, one, one)
    with pytest.raises(PeopleEditError, match="two owners"):
        editing.merge_people(analysed.library, one, other)
    with pytest.raises(PeopleEditError, match="has no face 'x-1:0'"):
        editing.split_person(analysed.library, one, ["x-1:0"])
    with pytest.raises(PeopleEditError, match="not all of them"):
        editing.split_person(analysed.library, one, [row["media_id"] for row in one.rows])
    with pytest.raises(PeopleEditError, match="no person 'p-nobody'"):
        person_called([one, other], "p-nobody")
    assert read_edits(analysed.library.store, "alice") == []


def test_a_name_of_two_people_needs_an_identifier(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(2)) | pictures(BOB, range(2)))
    update(analysed.library)
    for one in read_people(analysed.library):
        editing.name_person(analysed.library, one, "Ann")
    update(analysed.library)
    with pytest.raises(PeopleEditError, match="several people: p-"):
        person_called(read_people(analysed.library), "Ann")


def test_faces_of_video_frames_have_names_of_their_own() -> None:
    row = {"media_id": "clip-1", "frame_s": 2.5, "face_index": 0}
    assert editing.face_name(row) == "clip-1@2.5:0"
    assert editing.face_name(row | {"frame_s": None}) == "clip-1:0"


# ---------------------------------------------------------------- trouble


def test_two_updates_do_not_run_at_once(analysed: Analysed, update: Update) -> None:
    with analysed.library.ledger.lease("people", "somebody else") as obtained:
        assert obtained
        with pytest.raises(TableBusyError, match="Another process is computing people"):
            update(analysed.library)


def test_a_damaged_edit_is_named_and_nothing_is_changed(analysed: Analysed, update: Update) -> None:
    analysed.faces(pictures(ANN, range(2)))
    update(analysed.library)
    editing.name_person(analysed.library, read_people(analysed.library)[0], "Ann")
    (info,) = analysed.library.store.list("people/edits/alice")
    analysed.library.store.put_bytes(info.key, b"{}")
    with pytest.raises(CatalogError, match=info.key):
        update(analysed.library)
    assert catalog.row_count(analysed.library.store, "people") == 2
