"""The settings: environment variables COMFYUI_*, a .env file, or the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import InvalidInput
from app.files.places import parse_files_url
from app.servers.pool import base_url
from app.tasks.database import parse_url

VERSION = "0.1.0"


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Let pydantic name the setting that an error of ours is about."""
    try:
        yield
    except InvalidInput as error:
        raise ValueError(f"{error.detail} {error.hint or ''}".strip()) from error


class Settings(BaseSettings):
    """Each field is the environment variable COMFYUI_<NAME>; see .env.example."""

    model_config = SettingsConfigDict(
        env_prefix="COMFYUI_", env_file=".env", env_file_encoding="utf-8", extra="ignore"
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    comfyui_server: Annotated[list[str], NoDecode] = Field(
        ["127.0.0.1:8188"], description="ComfyUI servers as HOST:PORT, separated by commas."
    )
    slots: int = Field(
        2, ge=1, le=100, description="Prompts that a server may hold: one runs, one is ready."
    )

    workflows_dir: Path = Field(Path("workflows"), description="Folder of saved workflows.")
    uploads_dir: Path = Field(Path("uploads"), description="Folder of uploaded inputs.")
    outputs_dir: Path = Field(Path("outputs"), description="Folder of results.")
    files_url: str = Field(
        "",
        description="Results in a bucket instead: s3://BUCKET/PREFIX, gs://..., az://...; "
        "empty: in the folder.",
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite:///gateway.db"), description="Where tasks are kept."
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
    max_queued: int = Field(10_000, ge=1, description="Tasks that may wait; more are refused.")
    priority_ageing: float = Field(
        300, gt=0, description="Seconds of waiting that are worth a point of priority."
    )
    cancel_grace: float = Field(
        120, ge=0, description="Seconds until a cancel without effect counts as done."
    )
    lease_seconds: float = Field(
        15, ge=1, description="Seconds until another process takes over a silent one's tasks."
    )
    poll_interval: float = Field(
        2, gt=0, description="Seconds between two looks at a running task, whatever events say."
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
        64 * 1024 * 1024, ge=1024, description="Largest JSON body that is accepted."
    )
    max_upload_bytes: int = Field(
        512 * 1024 * 1024, ge=1024, description="Largest upload that is accepted."
    )
    max_wait: float = Field(600, ge=0, description="Longest ?wait= in seconds.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("comfyui_server", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("comfyui_server")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        with _as_value_error():
            return [base_url(address) for address in value]

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr) -> SecretStr:
        with _as_value_error():
            parse_url(value.get_secret_value())
        return value

    @field_validator("files_url")
    @classmethod
    def _files(cls, value: str) -> str:
        with _as_value_error():
            return parse_files_url(value) if value else value

    @field_validator("task_timeout", "retention_age", "retention_bytes", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value in ("", "none", "None") else value

    def shown(self) -> dict[str, object]:
        """The settings in force, without secrets."""
        return self.model_dump(mode="json", exclude={"database_url"})
