"""The files of deploy/: they fit together, name what exists, and hold no secret."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from media_assets.settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# Read by others than Settings: Dagster's configuration, boto3 and the container of the database.
OTHERS = {
    "MEDIA_ASSETS_DAGSTER_DATABASE_URL",
    "MEDIA_ASSETS_LOG_BUCKET",
    "POSTGRES_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
}


def loaded(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def variables() -> set[str]:
    """Names in the example of the environment, those that are commented out included."""
    text = (DEPLOY / "media_assets.env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


def names_of_environment(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {value["env"]} if set(value) == {"env"} else set().union(*map(names_of_environment, value.values()))
    return set().union(*map(names_of_environment, value)) if isinstance(value, list) else set()


def test_the_instance_is_configured_as_dagster_wants_it() -> None:
    # Dagster resolves the classes later: here only the shape is checked, with its own schema.
    result = validate_config(dagster_instance_config_schema(), loaded("dagster.yaml"))
    assert result.success, [error.message for error in result.errors or ()]


def test_what_the_instance_reads_from_the_environment_is_in_the_example() -> None:
    wanted = names_of_environment(loaded("dagster.yaml"))
    assert wanted == {"MEDIA_ASSETS_DAGSTER_DATABASE_URL", "MEDIA_ASSETS_LOG_BUCKET"}
    assert wanted <= variables()


def test_the_example_names_settings_that_exist() -> None:
    settings = {f"MEDIA_ASSETS_{name.upper()}" for name in Settings.model_fields}
    assert variables() - OTHERS <= settings
    assert variables() >= OTHERS


def test_the_example_is_read_by_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (DEPLOY / "media_assets.env.example").read_text(encoding="utf-8").splitlines():
        name, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.library_url == "s3://photos/library"
    assert settings.inbox_url == "s3://photos/inbox"
    assert settings.ledger_database_url.startswith("postgresql+psycopg2://")


def test_services_use_files_that_exist() -> None:
    services = loaded("docker-compose.yaml")["services"]
    for name in ("code", "daemon", "webserver"):
        build = services[name]["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        assert services[name]["env_file"] == "media_assets.env"
    mounted = [one.split(":")[0] for service in services.values() for one in service.get("volumes", ())]
    assert [one for one in mounted if one.startswith("./")]
    assert all((DEPLOY / one).is_file() for one in mounted if one.startswith("./"))
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert copied
    assert all((DEPLOY.parent / source).exists() for line in copied for source in line.split())


def test_the_code_server_is_found_where_it_listens() -> None:
    services = loaded("docker-compose.yaml")["services"]
    (server,) = [entry["grpc_server"] for entry in loaded("workspace.yaml")["load_from"]]
    assert server["host"] in services
    command = services[server["host"]]["command"]
    assert command[command.index("-p") + 1] == str(server["port"])


def test_the_ui_is_reached_from_this_machine_only() -> None:
    services = loaded("docker-compose.yaml")["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:3000:3000"]


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_no_secret_is_written_down(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    passwords = re.findall(r"(?i)(?:password|secret|secret_access_key)['\"]?[ \t]*[:=][ \t]*['\"]?([^\s'\"#]+)", text)
    assert [one for one in passwords if not one.startswith("${")] == []
    assert re.findall(r"://[^:/\s]+:([^@\s]+)@", text) in ([], ["PASSWORD", "PASSWORD"])
