"""POST /prompt: from a body to a queued prompt or an error."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

from app.comfyui import problems
from app.comfyui.problems import Problem
from fake_comfyui.knobs import AcceptedPrompt
from fake_comfyui.machine import Machine
from fake_comfyui.queue import SECRETS, QueueItem
from fake_comfyui.validation import Malformed, answer

Answer = tuple[int, dict[str, Any]]


def submit(machine: Machine, body: Any) -> Answer:
    """(status, reply). Raises Malformed where the real server answers 500."""
    if not isinstance(body, dict | list):
        raise Malformed("body")
    number = _number(machine, body if isinstance(body, dict) else {})
    if not isinstance(body, dict) or "prompt" not in body:
        return _refused(problems.no_prompt())
    graph = body["prompt"]
    if not isinstance(graph, dict):
        raise Malformed("prompt")
    prompt_id = _prompt_id(machine, body)
    if prompt_id is None:
        return _refused(problems.invalid_prompt_id())
    targets = body.get("partial_execution_targets")
    if targets is not None and not isinstance(targets, list | str):
        raise Malformed("partial_execution_targets")
    verdict = answer(
        graph,
        machine.catalogue,
        machine.folders,
        targets,
        machine.version.unknown_class,
        machine.order,
    )
    if verdict.error is not None:
        return _refused(verdict.error, verdict.node_errors)
    extra_data, secrets = _extra_data(body)
    item = QueueItem(number, prompt_id, graph, extra_data, verdict.outputs, secrets)
    _queue(machine, item)
    reply = {"prompt_id": item.prompt_id, "number": number, "node_errors": verdict.node_errors}
    return 200, reply


def _refused(error: Problem, node_errors: dict[str, Any] | None = None) -> Answer:
    return 400, {"error": error, "node_errors": node_errors or {}}


def _number(machine: Machine, body: dict[str, Any]) -> float:
    """Its own number, or the next one, negative for `front`; a refused prompt uses it up."""
    if "number" in body:
        try:
            return float(body["number"])
        except (TypeError, ValueError) as error:
            raise Malformed("number") from error
    number = machine.counter
    machine.counter += 1
    return -number if body.get("front") else number


def _prompt_id(machine: Machine, body: dict[str, Any]) -> str | None:
    """The client's id, a new one if it gave none, None if it is refused."""
    prompt_id, checked = body.get("prompt_id"), machine.version.jobs_api
    if prompt_id is None and (checked or "prompt_id" not in body):
        return str(uuid4())
    return None if checked and not is_canonical(prompt_id) else str(prompt_id)


def is_canonical(prompt_id: Any) -> bool:
    try:
        return isinstance(prompt_id, str) and str(UUID(prompt_id)) == prompt_id
    except ValueError:
        return False


def _extra_data(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """extra_data with client_id and create_time, and apart from it the secrets."""
    extra_data = body.get("extra_data", {})
    if not isinstance(extra_data, dict):
        raise Malformed("extra_data")
    if "client_id" in body:
        extra_data["client_id"] = body["client_id"]
    secrets = {name: extra_data.pop(name) for name in SECRETS if name in extra_data}
    extra_data["create_time"] = int(time.time() * 1000)
    return extra_data, secrets


def _queue(machine: Machine, item: QueueItem) -> None:
    accepted = AcceptedPrompt(item.prompt_id, item.client_id, item.number, item.graph)
    machine.records.prompts.append(accepted)
    if not machine.knobs.forget_prompts:
        machine.queue.put(item)
