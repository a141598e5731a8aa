import os
from pathlib import Path

import pytest

from media_assets.media.limits import Limits
from media_assets.settings import Settings, SettingsError


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "media_assets.toml").write_text('library = "from-file"\nworkers = 3\nflush_files = 5\n')
    monkeypatch.setenv("MEDIA_ASSETS_WORKERS", "4")
    monkeypatch.setenv("MEDIA_ASSETS_FLUSH_FILES", "6")
    settings = Settings.load(library=None, flush_files=7)
    assert (settings.library, settings.workers, settings.flush_files) == ("from-file", 4, 7)


def test_the_file_may_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "etc" / "other.toml"
    other.parent.mkdir()
    other.write_text("workers = 2")
    monkeypatch.setenv("MEDIA_ASSETS_CONFIG", str(other))
    assert Settings.load().workers == 2
    monkeypatch.setenv("MEDIA_ASSETS_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"names nowhere\.toml, which does not exist\. Create it or unset"):
        Settings.load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("workers = 0", r"Setting workers: .* greater than 0\. Correct it .* MEDIA_ASSETS_WORKERS\."),
        ("wrokers = 2", r"Setting wrokers: Extra inputs are not permitted\."),
        ("batch_max_files = 'many'", r"Setting batch_max_files: .* integer"),
        ("workers = ", r"media_assets\.toml is not valid TOML: .* Correct the file\."),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_setting(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "media_assets.toml").write_text(content)
    with pytest.raises(SettingsError, match=message):
        Settings.load()


def test_a_wrong_value_is_not_repeated_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_LEDGER_URL", "postgresql+psycopg2://ann:hidden-word@db/x")
    monkeypatch.setenv("MEDIA_ASSETS_S3_SECRET_ACCESS_KEY", "hidden-word")
    settings = Settings.load()
    assert "hidden-word" not in repr(settings) + str(settings)
    assert settings.ledger_database_url == "postgresql+psycopg2://ann:hidden-word@db/x"


def test_places_of_a_local_library(tmp_path: Path) -> None:
    settings = Settings(library="lib")
    root = tmp_path / "lib"
    assert (settings.is_local, settings.library_root, settings.library_url) == (True, root, str(root))
    assert settings.inbox_url == f"{root}/inbox"
    assert settings.state_dir == root / ".dagster"
    assert settings.ledger_database_url == f"sqlite:///{root}/.dagster/ledger.db"
    assert not root.exists()


def test_places_of_a_library_in_a_bucket(tmp_path: Path) -> None:
    settings = Settings(library="s3://bucket/Lib/")
    assert (settings.is_local, settings.library_url) == (False, "s3://bucket/Lib")
    assert settings.inbox_url == "s3://bucket/Lib/inbox"
    assert settings.state_dir.parent == tmp_path / "xdg-state" / "media_assets"
    assert settings.state_dir.name.startswith("s3-bucket-lib-")
    assert settings.state_dir == Settings(library="s3://bucket/Lib").state_dir
    assert settings.state_dir != Settings(library="s3://bucket/lib").state_dir
    with pytest.raises(SettingsError, match="not a local folder"):
        _ = settings.library_root


@pytest.mark.parametrize("url", ["S3://bucket/lib", "memory://", "gs://b/x", "az://b"])
def test_a_url_is_no_folder_whatever_its_letters(url: str) -> None:
    assert not Settings(library=url).is_local


@pytest.mark.parametrize(
    ("inbox", "expected"),
    [("in", "{cwd}/in"), ("file:///in", "/in"), ("s3://b/p/", "s3://b/p"), ("S3://b/p", "S3://b/p"), ("/in", "/in")],
)
def test_the_inbox_is_a_folder_or_a_bucket(tmp_path: Path, inbox: str, expected: str) -> None:
    assert Settings(library="lib", inbox=inbox).inbox_url == expected.format(cwd=tmp_path)


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    settings = Settings(library="~/lib", state=Path("~/state"))
    assert (settings.library_url, settings.state_dir) == ("/home/ann/lib", Path("/home/ann/state"))


def test_limits_are_the_settings_of_their_names() -> None:
    assert Settings().limits == Limits()
    assert Settings(max_pixels=7, max_duration_s=2.5).limits == Limits(max_pixels=7, max_duration_s=2.5)


def test_there_is_a_decoder_per_core_unless_it_is_set() -> None:
    assert 1 <= Settings().worker_count <= (os.cpu_count() or 1)
    assert Settings(workers=3).worker_count == 3
