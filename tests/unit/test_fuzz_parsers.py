"""Whatever comes, the parsers answer or raise an error of ours. FUZZ_EXAMPLES=20000 is the long
run."""

import base64
import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.comfyui.events import decode
from app.comfyui.history import HistoryEntry, state_of_job
from app.comfyui.inputs import NodeTypes
from app.comfyui.node_types import sound
from app.comfyui.results import results_of
from app.errors import GatewayError
from app.files.images.metadata import without_metadata
from app.files.images.safety import UNREADABLE, open_image
from app.files.signatures import SNIFFED_BYTES, signature_of, sniff
from app.files.stores.store import safe_name
from app.outbound.guard import Guard, check_allowed
from app.runner.progress import Tracker
from app.servers.addresses import base_url
from app.servers.core_nodes import core_node_types
from app.servers.server import Server
from app.services.inline_data import from_base64, from_data_uri
from app.services.prepare import prepare
from app.tasks.webhook import without_values
from app.webhooks.signing import key_of
from app.workflows import openapi
from app.workflows.checks.node_inputs import Acceptance
from app.workflows.embedded import extract
from app.workflows.json_text import parse_json, parse_leniently
from app.workflows.references import assets
from app.workflows.requirements import lack_of, needs_of, shape_of
from app.workflows.saved.editing import describe
from app.workflows.saved.names import checked_name, name_for_image
from app.workflows.saved.write_back import set_params
from tests.conftest import ROOT, text_to_image

Json = dict[str, Any]

fuzzed = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", 100)))

# -- what comes ---------------------------------------------------------------------------------

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
JSON = st.recursive(
    _LEAVES,
    lambda child: (
        st.lists(child, max_size=4) | st.dictionaries(st.text(max_size=8), child, max_size=4)
    ),
    max_leaves=12,
)
NODE_TYPES = core_node_types()
KNOWN = sorted(NODE_TYPES)


def _walk(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in it."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(found for key, item in items for found in _walk(item, (*path, key)))]


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _put(value[path[0]], path[1:], new)
    return copy


@st.composite
def damaged(draw: st.DrawFn, originals: list[Any]) -> Any:
    """A sound document in which some values were replaced."""
    value = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(_walk(value)))
        value = _put(value, path, draw(JSON | st.sampled_from(KNOWN)))
    return value


WORKFLOWS = [
    text_to_image(),
    *(
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.glob("workflows/*.json"))
    ),
    {
        "last_node_id": 2,
        "last_link_id": 1,
        "nodes": [
            {
                "id": 1,
                "type": "EmptyLatentImage",
                "mode": 0,
                "inputs": [],
                "outputs": [{"name": "LATENT", "type": "LATENT", "links": [1]}],
                "widgets_values": [64, 64, 1],
            },
            {
                "id": 2,
                "type": "SaveLatent",
                "mode": 0,
                "inputs": [{"name": "samples", "type": "LATENT", "link": 1}],
                "outputs": [],
                "widgets_values": ["x"],
            },
        ],
        "links": [[1, 1, 0, 2, 0, "LATENT"]],
        "groups": [],
        "version": 0.4,
        "definitions": {"subgraphs": []},
        "extra": {"groupNodes": {}},
    },
]
EVENTS: list[Any] = [
    {"type": kind, "data": data}
    for kind, data in [
        ("status", {"status": {"exec_info": {"queue_remaining": 1}}, "sid": "x"}),
        ("execution_start", {"prompt_id": "p", "timestamp": 1}),
        ("execution_cached", {"prompt_id": "p", "nodes": ["1"], "timestamp": 1}),
        ("executing", {"node": "1", "display_node": "1", "prompt_id": "p"}),
        ("progress", {"value": 1, "max": 4, "prompt_id": "p", "node": "1"}),
        (
            "progress_state",
            {"prompt_id": "p", "nodes": {"1": {"value": 1, "max": 4, "state": "running"}}},
        ),
        (
            "executed",
            {"node": "1", "output": {"images": [{"filename": "a.png"}]}, "prompt_id": "p"},
        ),
        ("execution_success", {"prompt_id": "p", "timestamp": 1}),
        (
            "execution_error",
            {"prompt_id": "p", "node_id": "1", "exception_message": "x", "traceback": []},
        ),
        ("execution_interrupted", {"prompt_id": "p", "node_id": "1", "executed": []}),
    ]
]


def attempt(call: Callable[[], Any]) -> Any:
    """No exception but ours."""
    try:
        return call()
    except GatewayError:
        return None


# -- workflows ----------------------------------------------------------------------------------


@fuzzed
@given(st.one_of(damaged(WORKFLOWS), JSON))
def test_workflows(workflow: Any) -> None:
    found = attempt(lambda: prepare(workflow, [{"prompt": "x", "seed": -1}, {}], NODE_TYPES))
    attempt(lambda: prepare(workflow, [{}], {}))
    shown = attempt(lambda: describe(workflow, NODE_TYPES))
    if shown:
        json.dumps(openapi.document("x.json", "1", "/x", shown.parameters))
    for prepared in found or ():
        needs = needs_of(prepared.prompt)
        lack_of(needs, NODE_TYPES)
        shape_of(prepared.prompt)
        Tracker(prepared.prompt)


@fuzzed
@given(
    damaged(WORKFLOWS), st.dictionaries(st.sampled_from(["prompt", "seed", "3.steps", "x"]), JSON)
)
def test_parameters(workflow: Any, params: Json) -> None:
    attempt(lambda: prepare(workflow, [params], NODE_TYPES))
    if isinstance(workflow, dict):
        attempt(lambda: set_params(workflow, params, NODE_TYPES))


@fuzzed
@given(damaged(WORKFLOWS), damaged([{name: NODE_TYPES[name] for name in KNOWN[:12]}]))
def test_node_types_of_strange_servers(workflow: Any, node_types: Any) -> None:
    if isinstance(node_types, dict):
        known = sound(node_types)
        for prepared in attempt(lambda: prepare(workflow, [{}], known)) or ():
            accepted = Acceptance(prepared.whole(), NodeTypes(known))
            if not accepted.takes:
                json.dumps(accepted.refusal().extra, allow_nan=False)
        attempt(lambda: describe(workflow, known))


@pytest.mark.parametrize(
    "order",
    [
        {"required": [["width"], {"height": 1}, None, 5, "batch_size"], "optional": 5},
        {"required": 7, "optional": {"x": []}},
        {"required": [], "hidden": [[]]},
        ["width"],
        "width",
        None,
    ],
)
def test_a_strange_order_of_inputs(order: Any) -> None:
    kind = {**NODE_TYPES["EmptyLatentImage"], "input_order": order}
    shown = describe(WORKFLOWS[-1], sound({**NODE_TYPES, "EmptyLatentImage": kind}))
    found = {one.input: one.value for one in shown.parameters if one.node_id == "1"}
    assert set(found) == {"width", "height", "batch_size"}
    assert sorted(found.values()) == [1, 64, 64]


@fuzzed
@given(JSON)
def test_references(value: Any) -> None:
    for found in assets.references(value):
        assert found
    assets.replaced(value, lambda _: "x")


@fuzzed
@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_json_texts(data: bytes) -> None:
    for parse in (parse_json, parse_leniently):
        if (value := attempt(lambda parse=parse: parse(data))) is not None:
            json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("depth", [99, 101, 1000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth_of_json(depth: int, brackets: str) -> None:
    opening = "[" if brackets == "[]" else '{"a":'
    text = opening * depth + "1" + brackets[1] * depth
    value = attempt(lambda: parse_json(text.encode()))
    assert (value is not None) == (depth <= 99)


# -- ComfyUI ------------------------------------------------------------------------------------


@fuzzed
@given(
    st.one_of(damaged(EVENTS), JSON).map(json.dumps) | st.binary(max_size=60) | st.text(max_size=60)
)
def test_events(frame: str | bytes) -> None:
    event = decode(frame)
    Tracker(text_to_image()).apply(event, 1.0)


@fuzzed
@given(st.integers(0, 5), st.integers(0, 2**32 - 1), st.binary(max_size=100))
def test_binary_events(kind: int, length: int, rest: bytes) -> None:
    decode(struct.pack(">II", kind, length) + rest)
    decode(struct.pack(">I", kind) + rest)


@fuzzed
@given(st.dictionaries(st.text(max_size=8), JSON), JSON)
def test_history(entry: Json, outputs: Any) -> None:
    attempt(lambda: HistoryEntry.read({"outputs": outputs, "status": entry, **entry}))
    state_of_job(json.dumps(entry).encode())
    if isinstance(outputs, dict):
        results_of("1", outputs)


# -- files --------------------------------------------------------------------------------------


def _picture(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (3, 2)).save(out, kind, **options)
    return out.getvalue()


def _exif(text: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = f"workflow:{text.decode()}"
    return exif.tobytes()


_TEXT = json.dumps(text_to_image()).encode()
PICTURES = [
    _picture("PNG"),
    _picture("WEBP", exif=_exif(_TEXT)),
    _picture("JPEG", exif=_exif(_TEXT)),
    _picture("PNG")[:33]
    + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [
            (b"tEXt", b"prompt\0" + _TEXT),
            (b"zTXt", b"workflow\0\0" + zlib.compress(_TEXT)),
            (b"iTXt", b"prompt\0\0\0\0\0" + _TEXT),
        ]
    )
    + _picture("PNG")[33:],
]


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """A picture with some bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(PICTURES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 2)):
            case 0:
                data[at : at + 4] = draw(st.binary(min_size=1, max_size=4))
            case 1:
                del data[at : at + draw(st.integers(1, 40))]
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


@fuzzed
@given(torn() | st.binary(max_size=80))
def test_workflows_in_pictures(data: bytes) -> None:
    attempt(lambda: extract(data))
    sniff(data[:SNIFFED_BYTES])
    signature_of(data[:SNIFFED_BYTES])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of metadata that is damaged
@fuzzed
@given(data=torn())
def test_pictures(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = _folder(tmp_path_factory)
    source, target = folder / "source", folder / "target"
    source.write_bytes(data)
    try:
        attempt(lambda: without_metadata(source, target))
        attempt(lambda: open_image(source).close())
    except UNREADABLE:
        pass  # what callers are told to expect


_folders: list[Path] = []


def _folder(factory: pytest.TempPathFactory) -> Path:
    if not _folders:
        _folders.append(factory.mktemp("torn"))
    return _folders[0]


@fuzzed
@given(
    st.text(max_size=60) | st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
)
def test_data_in_texts(text: str) -> None:
    for value in (
        text,
        f"data:{text}",
        f"data:image/png;base64,{text}",
        f"data:;base64,data:{text}",
    ):
        attempt(lambda value=value: from_base64(value))
        attempt(lambda value=value: from_data_uri(value))


def test_data_uris_within_each_other() -> None:
    attempt(lambda: from_base64("data:;base64," * 5000 + "AAAA"))


# -- names and addresses ------------------------------------------------------------------------


@fuzzed
@given(st.text(max_size=60))
def test_names(text: str) -> None:
    attempt(lambda: checked_name(text))
    attempt(lambda: name_for_image(text))
    assert safe_name(text) not in ("", ".", "..")
    assert not set(safe_name(text)) & set("/\\\0")


_URLISH = st.text(alphabet="htps:/.@[]%0123456789abcdefx-?#&=é\u0130\u2024 \\", max_size=40)


@fuzzed
@given(_URLISH | _URLISH.map(lambda text: f"http://{text}") | st.text(max_size=40))
def test_addresses(text: str) -> None:
    attempt(lambda: Guard(["*"]).check(text))
    attempt(lambda: check_allowed(text))
    attempt(lambda: key_of(text))
    if address := attempt(lambda: base_url(text)):
        attempt(lambda: Server(address, 2))
    if url := attempt(lambda: Guard(["*"]).check(text)):
        without_values(str(url))
