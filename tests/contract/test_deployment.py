"""The Compose files and the Helm chart: their own tools accept them, they speak of settings, files
and metrics that exist, and fit the image (test_image.py)."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.api.access_levels import names
from app.checked_settings import checked
from app.main import create_app
from app.settings import Settings
from tests import services
from tests.conftest import ROOT
from tests.dockerfile import image

Json = dict[str, Any]

BIN = Path(sys.executable).parent
NOWHERE = ROOT / "deploy"  # without an .env
CHART = ROOT / "deploy" / "helm"
FILES = [ROOT / "Dockerfile", *ROOT.glob("compose*.yaml"), *CHART.rglob("*.yaml")]


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


# -- compose ------------------------------------------------------------------------------------


def composed(file: str, folder: Path = NOWHERE, **environment: str) -> Json:
    """What Compose makes of a file, with the .env of a folder."""
    place = ("--project-directory", folder)
    text = run(BIN / "docker-compose", "-f", ROOT / file, *place, "config", **environment)
    found: Json = yaml.safe_load(text)
    return found["services"]


def ours(services: Json) -> list[Json]:
    return [service for service in services.values() if "build" in service]


@pytest.mark.parametrize("file", ["compose.yaml", "compose.cluster.yaml"])
def test_our_containers_may_do_little(file: str) -> None:
    services = composed(file)
    for service in ours(services):
        assert service["read_only"]
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert "command" not in service or service["command"][0] == "python"
        kept = {volume["target"] for volume in service.get("volumes", ())}
        assert kept <= set(image(service["build"]["target"]).volumes)
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert [port["host_ip"] for port in published] == ["127.0.0.1"]


def test_one_line_is_a_gateway_for_the_comfyui_of_this_machine(tmp_path: Path) -> None:
    gateway = composed("compose.yaml", tmp_path)["gateway"]
    settings = checked(Settings(_env_file=None, **_settings(gateway)))
    assert settings.comfyui_server == ["http://host.docker.internal:8188"]
    assert gateway["extra_hosts"] == ["host.docker.internal=host-gateway"]
    assert settings.allowed_hosts == ["localhost"]
    assert [volume["target"] for volume in gateway["volumes"]] == image("gateway").volumes
    (port,) = gateway["ports"]
    assert (port["published"], port["target"]) == ("8000", settings.port)
    assert [settings.port] == image("gateway").ports
    assert settings.drain_seconds + 8 < int(gateway["stop_grace_period"].removesuffix("s"))
    assert gateway["init"]


def test_it_takes_settings_from_the_file_that_other_ways_use(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "COMFYUI_COMFYUI_SERVER=a:8188,b:8188\nCOMFYUI_API_KEYS=api_keys.json\n"
        "COMFYUI_HOST=127.0.0.1\nGATEWAY_PORT=8100\n",
        encoding="utf-8",
    )
    gateway = composed("compose.yaml", tmp_path, GATEWAY_ADDRESS="0.0.0.0")["gateway"]
    settings = Settings(_env_file=None, **_settings(gateway))
    assert settings.comfyui_server == ["a:8188", "b:8188"]
    assert settings.api_keys.get_secret_value() == "api_keys.json"
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    (port,) = gateway["ports"]
    assert (port["host_ip"], port["published"]) == ("0.0.0.0", "8100")


def test_the_cluster_is_whole() -> None:
    services = composed("compose.cluster.yaml")
    gateways = [services[name] for name in ("gateway-1", "gateway-2")]
    settings = [checked(Settings(_env_file=None, **_settings(gateway))) for gateway in gateways]
    assert settings[0] == settings[1]
    hosts = [
        *(server.partition("://")[2].partition(":")[0] for server in settings[0].comfyui_server),
        *("postgresql", "redis", "s3"),
    ]
    assert set(hosts) <= set(services)
    bucket = settings[0].files_url.removeprefix("s3://").partition("/")[0]
    assert any(f"/data/{bucket}" in text.split() for _, text, _ in image("demo").steps)
    for gateway in gateways:
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
@pytest.mark.parametrize("name", ["Caddyfile", "Caddyfile.below-a-path"])
def test_caddy_takes_its_file(name: str) -> None:
    command = ("validate", "--adapter", "caddyfile", "--config", f"deploy/{name}")
    run(services.program("caddy"), *command)


def test_traefik_takes_the_path_out() -> None:
    """Its parts name each other; nginx and Caddy are run, Traefik has no package here."""
    text = (ROOT / "deploy" / "traefik-below-a-path.yml").read_text(encoding="utf-8")
    http = yaml.safe_load(text)["http"]
    (router,) = http["routers"].values()
    slash, taken = [http["middlewares"][name] for name in router["middlewares"]]
    assert router["rule"] == "Path(`/comfy`) || PathPrefix(`/comfy/`)", "not /comfyx"
    assert taken == {"stripPrefix": {"prefixes": ["/comfy"]}}
    found = slash["redirectRegex"]
    replacement = re.sub(r"\$\{(\d)\}", r"\\\1", found["replacement"])
    for url, place in {
        "https://a.example/comfy": "https://a.example/comfy/",
        "https://a.example/comfy?b=/comfy": "https://a.example/comfy/?b=/comfy",
        "https://a.example/comfy/api/tasks?b=/comfy": "https://a.example/comfy/api/tasks?b=/comfy",
    }.items():
        assert re.sub(found["regex"], replacement, url) == place
    service = http["services"][router["service"]]["loadBalancer"]
    assert service["servers"] == [{"url": "http://127.0.0.1:8000"}]
    assert f"GET {service['healthCheck']['path']}" in names(create_app(Settings()).routes)


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
def test_the_chart_fits_the_image() -> None:
    """Whom it runs as, where it listens, and what of its read-only root may be written to."""
    pod = of_kind(chart(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    made = image("gateway")
    ids = pod["securityContext"]
    assert f"{ids['runAsUser']}:{ids['runAsGroup']}" == made.user
    assert [port["containerPort"] for port in container["ports"]] == made.ports
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert {"/tmp", *made.volumes} <= set(mounted)
    asked = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
    assert all(path in made.health[-1] for path in asked)


@pytest.mark.service
@pytest.mark.parametrize(("setting", "path"), [((), "/"), (("/comfy",), "/comfy")])
def test_the_ingress_is_below_the_path(setting: tuple[str, ...], path: str) -> None:
    """The controller leaves the path where it is: the gateway takes it out by its setting."""
    values = [f"settings.COMFYUI_ROOT_PATH={value}" for value in setting]
    (rule,) = of_kind(chart("ingress.enabled=true", *values), "Ingress")["spec"]["rules"]
    assert [each["path"] for each in rule["http"]["paths"]] == [path]


@pytest.mark.service
def test_there_are_as_many_replicas_as_the_values_say() -> None:
    documents = chart("replicas=5", "autoscaling.kind=hpa")
    assert of_kind(documents, "Deployment")["spec"]["replicas"] == 5
    assert not {"HorizontalPodAutoscaler", "ScaledObject"} & {each["kind"] for each in documents}
