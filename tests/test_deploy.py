"""The files in `deploy/`: that what reads them would take them, and that they say what holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it comes without types
import pytest
import yaml

from dispatcher.cli.main import main
from dispatcher.settings import SETTINGS, Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
ROOT = DEPLOY.parent
BIN = Path(sys.executable).parent
LEAST_GRACE = Settings().grace_seconds + 15  # as docs/howto/operate.md says
SHIPPED = ("Dockerfile", "compose.yaml", "kubernetes.yaml", "dispatcher.service")


def read(name: str) -> str:
    return (DEPLOY / name).read_text("utf-8")


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(read("kubernetes.yaml")))


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("compose.yaml"))
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_the_settings_that_they_name_are_there(name: str) -> None:
    known = {f"DISPATCHER_{each.name.upper()}" for each in SETTINGS} | {"DISPATCHER_URL"}
    assert set(re.findall(r"DISPATCHER_[A-Z_]+[A-Z]", read(name))) <= known


@pytest.mark.skipif(
    not (BIN / "hadolint").exists(), reason="hadolint has no wheel for this machine"
)
def test_the_dockerfile_is_a_good_one() -> None:
    ran = subprocess.run(
        [BIN / "hadolint", DEPLOY / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def test_what_the_image_is_made_of_is_sent_to_the_builder() -> None:
    """`.dockerignore` leaves everything out but what it names."""
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copies = re.findall(r"^COPY (?!--)(.+) \S+$", read("Dockerfile"), re.MULTILINE)
    copied = {each.removeprefix("./") for line in copies for each in line.split()}
    assert copied == sent
    for each in copied:
        assert (ROOT / each).exists(), each


def test_the_image_does_not_run_as_root() -> None:
    last = read("Dockerfile").rpartition("FROM ")[2]
    assert re.search(r"^USER (\d+)$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last


def test_the_manifest_is_what_kubernetes_takes() -> None:
    kinds = []
    for each in objects():
        kubernetes_validate.validate(each, "1.31", strict=True)
        kinds.append(each["kind"])
    assert kinds == ["ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "Job"]


def test_nodes_in_kubernetes_have_the_time_to_drain() -> None:
    (deployment,) = [each for each in objects() if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    rest = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= LEAST_GRACE + rest
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_nodes_in_compose_have_the_time_to_drain_and_no_secret_stands_there() -> None:
    services = compose()["services"]
    assert services["dispatcher"]["stop_grace_period"] == f"{LEAST_GRACE:g}s"
    for name in ("POSTGRES_PASSWORD", "DISPATCHER_SECRET_KEY"):
        assert set(re.findall(rf"\${{{name}(.*?)}}", read("compose.yaml"))) == {":?set it"}


def test_what_compose_and_kubernetes_start_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [compose()["services"]["dispatcher"]["command"]]
    pods = [
        each["spec"]["template"]["spec"] for each in objects() if "template" in each.get("spec", ())
    ]
    commands += [pod["containers"][0]["args"] for pod in pods]
    assert len(commands) == 3
    for command in commands:
        assert main([command[0], "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in command if word.startswith("--"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    unit = read("dispatcher.service")
    here = tmp_path / "dispatcher.service"
    here.write_text(unit.replace("/opt/dispatcher/bin/dispatcher", str(BIN / "dispatcher")))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", here], check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_systemd_gives_it_the_time_to_drain_and_leaves_its_children_to_it() -> None:
    unit = read("dispatcher.service")
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(seconds) >= LEAST_GRACE
    assert "KillMode=mixed" in unit.split()
