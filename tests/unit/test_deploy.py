"""What deploy/ and docs/operations.md name is there: settings, commands, addresses, pins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.cli import main
from streams.settings import ENV_PREFIX, SECRETS, fields, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS = {field.name for field in fields()}
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
KUBERNETES = {
    found["kind"]: found for found in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD = KUBERNETES["StatefulSet"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def help_text(**environment: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "zhice"), "worker", "--help"],
        env={**os.environ, "COLUMNS": "200", **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def pod_environment() -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in CONTAINER["env"]}


def test_help_of_the_worker_has_every_setting_and_no_secret() -> None:
    secret = "geheim-0451"
    text = help_text(**{ENV_PREFIX + name.upper(): secret for name in SECRETS})
    for name in SETTINGS:
        assert f"--{name.replace('_', '-')}" in text and f"{ENV_PREFIX}{name.upper()}" in text
    assert secret not in text
    assert "[default: PLAINTEXT]" in text
    assert "[PLAIN|SCRAM-SHA-256|SCRAM-SHA-512]" in text


@pytest.mark.parametrize("file", ["Dockerfile", "compose.yaml", "kubernetes.yaml"])
def test_every_setting_that_is_named_exists(file: str) -> None:
    named = set(re.findall(rf"\b{ENV_PREFIX}(\w+)", (DEPLOY / file).read_text(encoding="utf-8")))
    assert named and {name.lower() for name in named} <= SETTINGS


def test_the_settings_of_the_pod_can_be_used() -> None:
    given = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in pod_environment().items() if value}
    given["http_token"] = "of the secret"
    settings = load({name: value.replace("$(POD_NAME)", "zhice-0") for name, value in given.items()})
    assert settings.security_protocol == "SASL_SSL"
    assert settings.http_address == f"zhice-0.{KUBERNETES['Service']['metadata']['name']}:9464"
    assert settings.instance_id == "zhice-0"


def test_secrets_come_from_the_secret() -> None:
    names = {ENV_PREFIX + name.upper() for name in SECRETS}
    from_secret = {entry["name"] for entry in CONTAINER["env"] if "secretKeyRef" in entry.get("valueFrom", {})}
    assert from_secret == names
    keys = {entry["valueFrom"]["secretKeyRef"]["key"] for entry in CONTAINER["env"] if entry["name"] in names}
    assert keys == set(KUBERNETES["Secret"]["stringData"])


def test_each_value_of_the_secret_says_that_it_must_be_set() -> None:
    """A worker with one of them empty ends with code 2."""
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    empty = re.findall(r'^  ([\w-]+): ""(?:  # (.*))?$', text, re.M)
    assert {name for name, comment in empty if comment.startswith("set it")} == set(KUBERNETES["Secret"]["stringData"])


def test_the_pod_is_ready_by_health_and_has_time_to_stop() -> None:
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": 9464}]
    assert "livenessProbe" not in CONTAINER
    assert POD["terminationGracePeriodSeconds"] == 30
    assert CONTAINER["args"] == ["worker"] and "worker" in main.commands
    spec = KUBERNETES["StatefulSet"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert spec["serviceName"] == KUBERNETES["Service"]["metadata"]["name"]


def test_what_the_pod_mounts_is_there_and_what_it_writes_can_be_written() -> None:
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}
    mounts = {mount["mountPath"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")}
    assert {pod_environment()["ZHICE_LAKE"], "/tmp"} <= mounts
    claim = KUBERNETES["PersistentVolumeClaim"]["metadata"]["name"]
    assert {"name": "lake", "persistentVolumeClaim": {"claimName": claim}} in POD["volumes"]


def test_the_lake_of_the_workers_is_compacted() -> None:
    pod = KUBERNETES["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, *options = container["args"]
    assert main.commands[command].make_context(command, list(options)).params["lake"] == pod_environment()["ZHICE_LAKE"]
    assert container["image"] == CONTAINER["image"] and pod["securityContext"] == POD["securityContext"]
    lake = {
        "name": "lake",
        "persistentVolumeClaim": {"claimName": KUBERNETES["PersistentVolumeClaim"]["metadata"]["name"]},
    }
    assert lake in pod["volumes"] and {"name": "lake", "mountPath": "/lake"} in container["volumeMounts"]


def test_compose_waits_for_kafka_and_reaches_it() -> None:
    worker, kafka = COMPOSE["services"]["worker"], COMPOSE["services"]["kafka"]
    assert worker["depends_on"] == {"kafka": {"condition": "service_healthy"}} and "healthcheck" in kafka
    assert f"INSIDE://{worker['environment']['ZHICE_BROKER']}" in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert (DEPLOY / worker["build"]["context"] / worker["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert all(port.startswith("127.0.0.1:") for port in worker["ports"] + kafka["ports"])


def test_compose_keeps_kafkas_data_as_long_as_the_lake() -> None:
    """A lake that outlives its topics would take the events of new ones for a replay, and drop them."""
    worker, kafka = COMPOSE["services"]["worker"], COMPOSE["services"]["kafka"]
    assert worker["volumes"] == ["lake:/lake"]
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]
    assert COMPOSE["volumes"] == {"kafka": None, "lake": None}


def test_the_image_runs_the_worker_as_nobody_special() -> None:
    assert 'ENTRYPOINT ["zhice"]\nCMD ["worker"]' in DOCKERFILE
    assert f"USER {POD['securityContext']['runAsUser']}\n" in DOCKERFILE
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.M)
    assert copied and all((ROOT / name).exists() for name in copied)
    assert "zhice compile" in DOCKERFILE and "compile" in main.commands


def test_the_engine_of_the_image_is_for_the_processor_that_it_is_compiled_for() -> None:
    """What does not run as it was compiled is compiled anew at each start: nothing can be written there."""
    assert DOCKERFILE.count("\nARG CPU\nENV ") == DOCKERFILE.count(" NUMBA_CPU_NAME=$CPU NUMBA_CPU_FEATURES= ") == 2


def test_the_image_is_built_from_all_that_is_installed_and_nothing_else() -> None:
    ignored, *let_in = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line[0] != "#"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = project["tool"]["setuptools"]
    packages = [name.rstrip("*") for name in setuptools["packages"]["find"]["include"]]
    named = [project["project"]["readme"], *project["project"]["license-files"], *packages]
    assert ignored == "*" and let_in[-1] == "**/__pycache__"
    assert set(let_in[:-1]) == {f"!{name}" for name in (*named, "pyproject.toml", "deploy/requirements.lock")}
    for package in packages:
        data = [f".{glob.rpartition('.')[2]}" for glob in setuptools["package-data"].get(package, [])]
        files = [file for file in (ROOT / package).rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        assert {file.suffix for file in files} <= {".py", *data}


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.M))


def test_the_image_has_what_was_tested_and_nothing_to_develop_with() -> None:
    tested, deployed = pins(ROOT / "requirements.lock"), pins(DEPLOY / "requirements.lock")
    assert deployed.items() <= tested.items()
    assert "faust-streaming" in deployed and not {"pytest", "mypy", "ruff", "hypothesis"} & set(deployed)


def test_operations_names_only_options_that_exist() -> None:
    options = {option for command in main.commands.values() for given in command.params for option in given.opts}
    named = set(re.findall(r"`(--[a-z][a-z-]*)", OPERATIONS))
    assert len(named) > 15 and named - {"--file"} <= options


def test_the_settings_table_has_every_setting() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## Settings") :]
    assert [name for name in sorted(SETTINGS) if f"`{name}`" not in table] == []


def test_alerts_are_about_metrics_that_exist() -> None:
    alerts = yaml.safe_load(re.search(r"```yaml\n(.*?)```", OPERATIONS, re.S)[1])  # type: ignore[index]
    told = set(re.findall(r"`(zhice_\w+)`", OPERATIONS))
    used = {name for rule in alerts["groups"][0]["rules"] for name in re.findall(r"zhice_\w+", rule["expr"])}
    assert len(used) > 5 and used <= told
