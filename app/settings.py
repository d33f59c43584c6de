"""Settings, from environment variables COMFYUI_*, a .env file, or the command line."""

import logging
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

VERSION = "0.1.0"
ENV_ENCODING = "utf-8-sig"  # of .env: UTF-8, before which Notepad may write a mark


class Settings(BaseSettings):
    """Each field is the environment variable COMFYUI_<NAME>; see .env.example.

    Only types and ranges are validated here; `app.checked_settings.checked` does the rest.
    """

    model_config = SettingsConfigDict(
        env_prefix="COMFYUI_",
        env_file=".env",
        env_file_encoding=ENV_ENCODING,
        env_ignore_empty=True,  # an empty text is no value, but as if it were not there
        extra="ignore",
        allow_inf_nan=False,
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    root_path: str = Field(
        "",
        description="Path below which a proxy serves the gateway, such as /comfy; empty: the one "
        "that the proxy tells in X-Forwarded-Prefix, or none.",
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes on that port; more than 1 need PostgreSQL and Redis."
    )
    native_ports: Annotated[list[str], NoDecode] = Field(
        [],
        description="Ports on which ComfyUI's own protocol is spoken at the root, each bound to an "
        "API key: 8188:alice,0.0.0.0:8189:bob; on 127.0.0.1 if no address is told; without API "
        "keys the port alone.",
    )
    native_pass: Annotated[list[str], NoDecode] = Field(
        [],
        description="Routes of node packs that one server answers for clients of ComfyUI's own "
        "protocol: PATTERN:SERVER, such as /api/etn/*:127.0.0.1:8188.",
    )
    comfyui_server: Annotated[list[str], NoDecode] = Field(
        ["127.0.0.1:8188"], description="ComfyUI servers as HOST:PORT, separated by commas."
    )
    slots: int = Field(
        2, ge=1, le=100, description="Prompts that a server may hold: one runs, one is ready."
    )
    max_slots: int = Field(
        8,
        ge=2,
        le=100,
        description="Prompts that it may hold while they are shorter than handing over the next "
        "takes, 2 for no more than usual; not used if COMFYUI_SLOTS is set.",
    )

    workflows_dir: Path = Field(Path("workflows"), description="Folder of saved workflows.")
    uploads_dir: Path = Field(Path("uploads"), description="Folder of uploaded inputs.")
    outputs_dir: Path = Field(Path("outputs"), description="Folder of results.")
    files_url: str = Field(
        "",
        description="Results and uploads in a bucket instead: s3://BUCKET/PREFIX, gs://..., "
        "az://...; empty: in the folders.",
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite:///gateway.db"), description="Where tasks are kept."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis, for updates and rate limits of several gateways; without it only one "
        "starts on a PostgreSQL database.",
    )
    drain_seconds: float = Field(
        0, ge=0, description="Seconds of answering after SIGTERM while /api/ready says 503."
    )

    task_timeout: float | None = Field(
        None,
        gt=0,
        description="Seconds that a task may run if it names no timeout; none: no limit.",
    )
    max_attempts: int = Field(3, ge=1, description="How often a task may be started.")
    server_grace: float = Field(
        60, ge=0, description="Seconds that a server may be away before its tasks are given up."
    )
    stall_timeout: float = Field(
        600,
        gt=0,
        description="Seconds without a sign of a running task after which its server is stalled.",
    )
    native_parallel: int = Field(
        1,
        ge=1,
        description="Tasks of one client of ComfyUI's own protocol that servers have at a time.",
    )
    max_queued: int = Field(10_000, ge=1, description="Tasks that may wait; more are refused.")
    lease_seconds: float = Field(
        15, ge=1, description="Seconds until another process takes over a silent one's tasks."
    )

    retention_age: float | None = Field(
        None,
        gt=0,
        description="Seconds after which a finished task's results are removed; none: never.",
    )
    retention_bytes: int | None = Field(
        None,
        ge=0,
        description="Most bytes of results to keep, the oldest go first; none: no limit.",
    )

    max_body_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, description="Largest JSON body that is accepted."
    )
    max_upload_bytes: int = Field(
        512 * 1024 * 1024, ge=1024, description="Largest upload that is accepted."
    )
    max_connections: int = Field(
        4000, ge=1, description="Connections at a time; more are refused with 503."
    )
    allow_private_urls: Annotated[list[str], NoDecode] = Field(
        [],
        description="Hosts and networks that URLs from clients may lead to though they are not "
        "public; * for all.",
    )

    webhook_url: SecretStr | None = Field(None, description="Where to tell of every task's end.")
    webhook_secret: SecretStr | None = Field(
        None, description="Signs what is sent there: whsec_ and the base64 of 24 to 64 bytes."
    )
    webhook_events: Annotated[list[str], NoDecode] = Field(
        ["task.succeeded", "task.failed", "task.canceled"],
        description="What to tell of there, separated by commas.",
    )

    api_keys: SecretStr = Field(
        SecretStr(""),
        description="File of API keys (python start.py keys add NAME makes it), or the entries "
        "themselves as JSON; empty: no key is needed.",
    )
    shared_tasks: bool = Field(
        False, description="API keys see each other's tasks and files, and may do all with them."
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        [],
        description="Names besides localhost under which it may be asked, without API keys and on "
        "COMFYUI_NATIVE_PORTS.",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [], description="Origins of other web pages that may use it: scheme://host[:port]."
    )
    docs: bool = Field(True, description="Serve /docs, /redoc and /openapi.json.")

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: Literal["plain", "json"] = Field(
        "plain", description="plain, or json: an object in each line, for collectors of logs."
    )

    @field_validator(
        *("comfyui_server", "allow_private_urls", "webhook_events", "allowed_hosts"),
        *("cors_origins", "native_ports", "native_pass"),
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("host")
    @classmethod
    def _is_not_empty(cls, value: str) -> str:
        if not value:  # to `socket` it means all addresses
            raise ValueError(
                "It is empty. Write an address, such as 127.0.0.1, or 0.0.0.0 for all."
            )
        return value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        if value.upper() not in logging.getLevelNamesMapping():
            raise ValueError(f"{value[:100]!r} is no level. Write DEBUG, INFO, WARNING or ERROR.")
        return value

    @field_validator(
        *("task_timeout", "retention_age", "retention_bytes", "webhook_url", "webhook_secret"),
        "redis_url",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value in ("", "none", "None") else value

    @property
    def slots_for_short_tasks(self) -> int:
        return self.slots if "slots" in self.model_fields_set else self.max_slots

    def shown(self) -> dict[str, object]:
        """Return the settings without secrets."""
        secret = {"database_url", "redis_url", "webhook_url", "api_keys"}
        return self.model_dump(mode="json", exclude=secret)
