"""Dockerfile, compose.yaml and the Helm chart: their own tools accept them, and they speak of
settings, files and metrics that exist. No image is built here: that needs Docker."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.container import checked
from app.settings import Settings
from tests import services
from tests.conftest import ROOT

Json = dict[str, Any]

BIN = Path(sys.executable).parent
CHART = ROOT / "deploy" / "helm"
FILES = [ROOT / "Dockerfile", ROOT / "compose.yaml", *CHART.rglob("*.yaml")]


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def chart(*values: str) -> list[Json]:
    """What the chart makes with these values."""
    options = [word for value in values for word in ("--set", value)]
    text = run(services.program("helm"), "template", "release", CHART, *options)
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[Json], kind: str) -> Json:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_settings_are_real(path: Path) -> None:
    known = {f"COMFYUI_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bCOMFYUI_[A-Z_]+\b", path.read_text(encoding="utf-8"))) <= known


# -- the image ----------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    assert run(BIN / "hadolint", "Dockerfile") == ""


def copied() -> list[str]:
    """What the Dockerfile takes from here."""
    lines = re.findall(
        r"^COPY (?!--from)(.*)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    return [word for line in lines for word in line.split()[:-1] if not word.startswith("--")]


def test_what_the_image_takes_is_not_ignored() -> None:
    kept = re.findall(
        r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(set(copied())) == sorted(kept)
    assert all((ROOT / name).exists() for name in kept)


def image_environment() -> dict[str, str]:
    return dict(
        re.findall(r"\b(COMFYUI_\w+)=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    )


def test_the_image_has_all_files_that_it_needs(tmp_path: Path) -> None:
    """The gateway runs with those files only, and writes to /data and nowhere else."""
    image, data = tmp_path / "image", tmp_path / "data"
    image.mkdir()
    data.mkdir()
    for name in copied():
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, image / name)
    environment = {
        name: value.replace("/data", str(data)) for name, value in image_environment().items()
    }
    environment |= {"COMFYUI_PORT": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}
    before = sorted(image.rglob("*"))
    script = (
        "import start, asyncio, fake_comfyui.server\n"
        "from app.main import create_app, running\n"
        "async def main():\n"
        "    async with running(start.settings_of(start.parse_args([]))) as gateway:\n"
        "        print(len(create_app(gateway.settings).routes), gateway.settings.host)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=image,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "0.0.0.0"
    assert sorted(image.rglob("*")) == before
    assert (data / "gateway.db").is_file()


def test_the_image_does_not_run_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[3:]:
        assert re.search(r"^USER 10001:10001$", stage, re.MULTILINE), stage.splitlines()[0]
        assert "\nHEALTHCHECK " in stage


# -- compose ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> Json:
    command = (BIN / "docker-compose", "-f", "compose.yaml", "--env-file", os.devnull, "config")
    found: Json = yaml.safe_load(run(*command))
    return found


def test_the_cluster_is_whole(compose: Json) -> None:
    services = compose["services"]
    gateways = [services[name] for name in ("gateway-1", "gateway-2")]
    settings = [checked(Settings(_env_file=None, **_settings(gateway))) for gateway in gateways]
    assert settings[0] == settings[1]
    hosts = [
        *(server.partition("://")[2].partition(":")[0] for server in settings[0].comfyui_server),
        *("postgresql", "redis", "s3"),
    ]
    assert set(hosts) <= set(services)
    for gateway in gateways:
        assert gateway["read_only"]
        assert gateway["cap_drop"] == ["ALL"]
        assert gateway["stop_grace_period"] == "20s"
        assert settings[0].drain_seconds + 3 < 20
    proxied = re.findall(
        r"\b([\w-]+):8000\b", (ROOT / "deploy" / "Caddyfile").read_text(encoding="utf-8")
    )
    assert set(proxied) == {"gateway-1", "gateway-2"}


def _settings(service: Json) -> Json:
    return {
        name.removeprefix("COMFYUI_").lower(): value
        for name, value in service["environment"].items()
        if name.startswith("COMFYUI_")
    }


@pytest.mark.service
def test_caddy_takes_its_file() -> None:
    command = ("validate", "--adapter", "caddyfile", "--config", "deploy/Caddyfile")
    run(services.program("caddy"), *command)


# -- the chart ----------------------------------------------------------------------------------


@pytest.mark.service
def test_helm_lint() -> None:
    run(services.program("helm"), "lint", "--strict", CHART)


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("replicas=5", "ingress.enabled=true", "ingress.tlsSecret=tls"),
        ("workflows.existingClaim=workflows", "ingress.className=nginx"),
    ],
)
@pytest.mark.service
def test_kubernetes_takes_what_the_chart_makes(values: tuple[str, ...]) -> None:
    documents = chart(*values)
    assert len(documents) >= 4
    for document in documents:
        kubernetes_validate.validate(document, "1.33", strict=True)


@pytest.mark.service
def test_a_pod_may_drain_before_it_is_killed() -> None:
    documents = chart("settings.COMFYUI_DRAIN_SECONDS=20")
    data = of_kind(documents, "ConfigMap")["data"]
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert data["COMFYUI_DRAIN_SECONDS"] == "20"
    assert pod["terminationGracePeriodSeconds"] > 20 + waits + 3
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    Settings(_env_file=None, **_settings({"environment": data}))


@pytest.mark.service
def test_there_are_as_many_replicas_as_the_values_say() -> None:
    documents = chart("replicas=5", "autoscaling.kind=hpa")
    assert of_kind(documents, "Deployment")["spec"]["replicas"] == 5
    assert not {"HorizontalPodAutoscaler", "ScaledObject"} & {each["kind"] for each in documents}
