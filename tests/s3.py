"""An S3-speaking server on this machine: it keeps buckets as folders and checks signatures."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

KEY, SECRET, BUCKET = "tests-access-key", "tests-secret-key", "results"


def environment(endpoint: str) -> dict[str, str]:
    """What a client of the server needs."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[str]:
    """The server's endpoint, such as http://127.0.0.1:9000."""
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    command = [sys.executable, "-m", "nanio", "serve", "--data-dir", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    secrets = {"NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **secrets}, stdout=log, stderr=log)
    try:
        _wait(server, f"http://127.0.0.1:{port}", folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait(server: "subprocess.Popen[bytes]", endpoint: str, log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            urllib.request.urlopen(endpoint).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return  # it answers: that will do
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(log.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store in a bucket; credentials are in the environment."""
    for name, value in environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{time.monotonic_ns()}"
