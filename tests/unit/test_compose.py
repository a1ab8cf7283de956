"""docker-compose.yaml fits the Compose Specification, the Procfile, the settings and the files of this repository.

No container is started here: that its images build and run is not shown by these tests.
"""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from evalwindow.orchestrator import Secrets, environment
from evalwindow.processes import GRACE_S, read_procfile
from evalwindow.settings import PREFIX, Settings
from evalwindow.smtp_url import parse_smtp_url
from evalwindow.store.roles import Role

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
AIRFLOW = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
OURS = ("migrate", "web", "dispatcher", "gpu", "gpu-on-cpu", "airflow-migrate", *AIRFLOW)
ONCE = {"migrate", "logins", "airflow-migrate"}  # they end
SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|KEY)$")
INTERPOLATED = re.compile(r"(?<!\$)\$\{([A-Z_]+)(:[-?])?([^}]*)\}")


def schema() -> dict[str, Any]:
    """The specification's JSON schema, as check-jsonschema carries it."""
    text = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
    return json.loads(text)


def test_it_fits_the_compose_specification() -> None:
    jsonschema.validate(COMPOSE, schema())


def test_the_specification_refuses_a_misspelt_key() -> None:
    broken = {**COMPOSE, "services": {**SERVICES, "web": {**SERVICES["web"], "comand": "x"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema())


@pytest.mark.parametrize(
    "name, process",
    [(name, name) for name in ("web", "dispatcher", "gpu", *AIRFLOW)] + [("gpu-on-cpu", "gpu")],
)
def test_each_command_is_the_procfiles(name: str, process: str) -> None:
    assert SERVICES[name]["command"] == read_procfile(ROOT / "Procfile")[process]


def test_every_process_of_the_procfile_has_a_service() -> None:
    assert set(read_procfile(ROOT / "Procfile")) <= set(SERVICES)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_ours_is_a_setting(name: str) -> None:
    ours = {key for key in SERVICES[name]["environment"] if key.startswith(PREFIX)}
    assert ours
    assert {key.removeprefix(PREFIX).lower() for key in ours} <= set(Settings.model_fields)


def test_the_image_sets_no_unknown_variable() -> None:
    named = {name.lower() for name in re.findall(rf"\b{PREFIX}([A-Z_]+)=", DOCKERFILE)}
    assert named
    assert named <= set(Settings.model_fields)


def test_the_config_and_the_home_are_mounted_where_the_image_looks_for_them() -> None:
    looked_for = dict(re.findall(rf"\b({PREFIX}[A-Z]+)=(\S+)", DOCKERFILE))
    for name in OURS:
        targets = [volume.split(":")[-2 if volume.endswith(":ro") else -1] for volume in _volumes(name)]
        assert looked_for["EVALWINDOW_CONFIG"] in targets
        assert looked_for["EVALWINDOW_HOME"] in targets


def test_a_gpu_unit_shares_its_home_with_nobody() -> None:
    homes = {name: next(v for v in _volumes(name) if v.endswith(":/var/lib/evalwindow")) for name in OURS}
    assert homes["gpu"] not in {homes["web"], homes["dispatcher"], homes["migrate"]}


def test_no_secret_is_written_down() -> None:
    """Every password, secret, token and key is a variable, and none of them has a default."""
    secrets = {name: rest for name, _, rest in INTERPOLATED.findall(TEXT) if SECRET.search(name)}
    assert {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "EVALWINDOW_WEBHOOK_SECRET", "AIRFLOW_ADMIN_PASSWORD"} <= set(
        secrets
    )
    assert set(secrets.values()) <= {"", "set it in .env"}
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key) or key == "EVALWINDOW_SMTP_URL":
                assert INTERPOLATED.fullmatch(value), key


def test_the_example_names_every_variable_and_no_other() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    optional = {"EVALWINDOW_GITHUB_API_URL", "EVALWINDOW_LOG_LEVEL"}
    assert set(example) == {name for name, _, _ in INTERPOLATED.findall(TEXT)} - optional
    assert not [name for name, value in example.items() if value and SECRET.search(name)]


def test_every_long_running_service_is_restarted_and_checked() -> None:
    lasting = {name: service for name, service in SERVICES.items() if name not in ONCE}
    assert {service["restart"] for service in lasting.values()} == {"unless-stopped"}
    unchecked = [name for name, service in lasting.items() if "healthcheck" not in service]
    assert unchecked == ["dispatcher"]  # it listens nowhere; one that ends is restarted
    assert {SERVICES[name]["restart"] for name in ONCE} == {"on-failure:5"}


def test_processes_start_after_the_schema_and_the_broker() -> None:
    for name in ("web", "dispatcher", "gpu", "gpu-on-cpu"):
        conditions = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
        assert conditions == {"logins": "service_completed_successfully", "redis": "service_healthy"}
    assert SERVICES["logins"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


LOGIN_OF = {
    "migrate": "evalwindow",
    "web": "web",
    **dict.fromkeys(("dispatcher", "gpu", "gpu-on-cpu"), "worker"),
    **dict.fromkeys(("airflow-migrate", *AIRFLOW), "airflow"),
}


@pytest.mark.parametrize("name", OURS)
def test_each_process_has_its_own_login_and_no_other_s_password(name: str) -> None:
    login = LOGIN_OF[name]
    own = "POSTGRES_PASSWORD" if login == "evalwindow" else f"{login.upper()}_POSTGRES_PASSWORD"
    url = SERVICES[name]["environment"]["EVALWINDOW_DATABASE_URL"]
    assert url == f"postgresql+psycopg://{login}:${{{own}:?set it in .env}}@postgres:5432/evalwindow"
    named = {variable for variable, _, _ in INTERPOLATED.findall(str(SERVICES[name]["environment"]))}
    assert {variable for variable in named if variable.endswith("POSTGRES_PASSWORD")} == {own}


def test_the_owner_s_roles_are_made_before_the_logins_that_need_them() -> None:
    assert SERVICES["migrate"]["command"] == "evalwindow migrate --roles"
    script = (ROOT / "deploy/postgres/logins.sh").read_text()
    granted = dict(re.findall(r"^GRANT (\w+) TO (\w+);$", script, re.MULTILINE))
    assert granted == {Role.WEB: "web", Role.WORKER: "worker", Role.AIRFLOW: "airflow"}
    needed = set(re.findall(r"\$\{([A-Z_]+):\?set it in \.env\}", script))
    assert needed == set(SERVICES["logins"]["environment"]) - {"PGHOST", "PGUSER", "PGDATABASE", "PGPASSWORD"}


KNOWING = {
    "EVALWINDOW_WEBHOOK_SECRET": {"web"},
    "EVALWINDOW_GITHUB_TOKEN": {"web", "dispatcher"},
    "EVALWINDOW_GITHUB_PRIVATE_KEY": {"web", "dispatcher"},
    "EVALWINDOW_SMTP_URL": {"dispatcher"},
    "OPENAI_API_KEY": {"gpu", "gpu-on-cpu"},
    "MLFLOW_TRACKING_TOKEN": {"airflow-migrate", *AIRFLOW},
    "POSTGRES_PASSWORD": {"postgres", "migrate", "logins"},
    "REDIS_PASSWORD": set(OURS) - {"migrate"} | {"redis"},
}


@pytest.mark.parametrize("variable", sorted(KNOWING))
def test_a_secret_is_given_to_those_who_use_it(variable: str) -> None:
    given = {
        name
        for name, service in SERVICES.items()
        if variable in {found for found, _, _ in INTERPOLATED.findall(str(service.get("environment", {})))}
    }
    assert given == KNOWING[variable]


def test_the_gpu_worker_reserves_a_gpu_and_its_cpu_twin_does_not() -> None:
    device = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert "deploy" not in SERVICES["gpu-on-cpu"]
    assert (SERVICES["gpu"]["profiles"], SERVICES["gpu-on-cpu"]["profiles"]) == (["gpu"], ["cpu"])


def test_a_gpu_worker_has_time_to_drain() -> None:
    for name in ("gpu", "gpu-on-cpu"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= GRACE_S


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_write_and_do_as_little_as_can_be(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["evalwindow"]


def test_postgres_and_redis_are_reached_from_inside_only() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("postgres", "redis", *ONCE):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]


def test_whatever_is_published_is_published_on_this_machine_only() -> None:
    published = [INTERPOLATED.sub(lambda found: found[3], one) for name in SERVICES for one in _ports(name)]
    assert len(published) == 3  # web, Airflow, the mail catcher's page
    assert all(one.startswith("127.0.0.1:") for one in published)


@pytest.mark.parametrize("name", OURS)
def test_each_image_is_built_from_a_dockerfile_and_a_list_that_exist(name: str) -> None:
    build = SERVICES[name]["build"]
    assert (ROOT / build["dockerfile"]).is_file()
    assert (ROOT / build["args"]["LOCK"]).is_file()
    assert set(build["args"]) <= set(re.findall(r"^ARG ([A-Z_]+)", DOCKERFILE, re.MULTILINE))


def test_every_path_that_is_copied_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for path in line.split():
            _assert_in_context(path, kept)


def test_every_mounted_file_of_ours_exists() -> None:
    sources = {volume.split(":")[0] for name in SERVICES for volume in _volumes(name) if volume.startswith("./")}
    assert sources
    assert all((ROOT / source).exists() for source in sources)


def test_airflow_is_told_what_up_tells_it() -> None:
    """Names of this network and where the API server listens apart."""
    fits = {"API__HOST": "0.0.0.0"}  # noqa: S104  inside its container
    told = environment(
        home=Path("/var/lib/evalwindow"),
        checkout=Path("/app"),
        database_url="postgresql+psycopg://airflow:password@postgres:5432/airflow",
        port=8080,
        host="airflow-api-server",
        base_url="http://localhost:8080",
        secrets=Secrets(fernet_key="key", api_secret="api", jwt_secret="jwt"),
    )
    told |= {f"AIRFLOW__{name}": value for name, value in fits.items()}
    words = {"AIRFLOW_FERNET_KEY": "key", "AIRFLOW_API_SECRET": "api", "AIRFLOW_JWT_SECRET": "jwt"}
    words |= {"AIRFLOW_POSTGRES_PASSWORD": "password", "AIRFLOW_PUBLIC_URL": "http://localhost:8080"}
    for name in ("airflow-migrate", *AIRFLOW):
        given = SERVICES[name]["environment"]
        filled = {key: INTERPOLATED.sub(lambda found: words.get(found[1], ""), one) for key, one in given.items()}
        others = {key for key in filled if key.startswith(PREFIX)} | {"AIRFLOW_ADMIN_PASSWORD", "MLFLOW_TRACKING_TOKEN"}
        assert {key: one for key, one in filled.items() if key not in others} == told


def test_airflow_reads_the_dags_and_the_plugins_and_may_not_write_them() -> None:
    for name in AIRFLOW:
        assert {"./dags:/app/dags:ro", "./plugins:/app/plugins:ro"} <= set(SERVICES[name]["volumes"])


def test_airflow_sees_what_evalwindows_own_processes_see() -> None:
    """Its own login apart."""
    shared = {key: one for key, one in SERVICES["gpu"]["environment"].items() if key.startswith(PREFIX)}
    assert shared.pop("EVALWINDOW_DATABASE_URL")
    for name in AIRFLOW:
        assert shared.items() <= SERVICES[name]["environment"].items()
        assert SERVICES[name]["build"]["args"]["LOCK"] == "constraints/orchestrator.txt"


def test_airflow_starts_after_its_schema_and_its_clients_stop_before_its_api_server() -> None:
    assert "logins" in SERVICES["airflow-migrate"]["depends_on"]
    for name in AIRFLOW:
        assert SERVICES[name]["depends_on"]["airflow-migrate"] == {"condition": "service_completed_successfully"}
    for name in set(AIRFLOW) - {"airflow-api-server"}:
        assert "airflow-api-server" in SERVICES[name]["depends_on"]
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= GRACE_S


def test_only_the_api_server_knows_the_administrators_password() -> None:
    knowing = [name for name, service in SERVICES.items() if "AIRFLOW_ADMIN_PASSWORD" in str(service["environment"])]
    assert knowing == ["airflow-api-server"]


def test_each_component_of_airflow_is_asked_for_by_name() -> None:
    asked = {name: SERVICES[name]["healthcheck"]["test"][5:] for name in AIRFLOW}
    assert asked.pop("airflow-api-server") == []
    assert asked == {name: [name.removeprefix("airflow-").replace("-", "_")] for name in AIRFLOW[1:]}


def test_mails_are_caught_only_where_that_is_asked_for() -> None:
    assert SERVICES["mail"]["profiles"] == ["mail"]
    assert "inside" in SERVICES["mail"]["networks"]
    advice = re.search(r"smtp://mail:1025\S*", (ROOT / ".env.example").read_text())
    assert advice
    assert parse_smtp_url(advice[0].rstrip(",")).host == "mail"


def _ports(name: str) -> list[str]:
    return list(SERVICES[name].get("ports", []))


def _volumes(name: str) -> list[str]:
    """With defaults put in for variables."""
    return [INTERPOLATED.sub(lambda found: found[3], volume) for volume in SERVICES[name].get("volumes", [])]


def _assert_in_context(path: str, kept: set[str]) -> None:
    if path == "${LOCK}":
        assert "constraints/*.txt" in kept
        return
    assert (ROOT / path).exists()
    assert path in kept
