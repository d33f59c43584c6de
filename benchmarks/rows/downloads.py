"""Images of three sizes, from the gateway's store and from ComfyUI's /view."""

import random

import httpx

from benchmarks.bench import Bench, by_turns
from benchmarks.figures import median, rate, ratios, spread
from benchmarks.load import Load
from benchmarks.programs import Floor
from benchmarks.report import Row
from benchmarks.seeding import add_finished

MEGABYTE = 1_000_000
# bytes, connections, requests in a round (and in a quick one), share of the direct rate
SIZES = {
    "1 kB": (1_000, 8, 2_000, 20, 0.5),
    "1 MB": (1_000_000, 4, 300, 4, 0.9),
    "100 MB": (100_000_000, 1, 6, 1, 0.9),
}


async def measure(bench: Bench) -> list[Row]:
    contents = {_name(size): random.randbytes(SIZES[size][0]) for size in SIZES}
    task_id = await add_finished(bench.gateway.database_url, contents, bench.gateway.outputs)
    for name, content in contents.items():
        await _upload(bench.comfyui, name, content)
    return [await _row(bench, size, task_id) for size in SIZES]


def _name(size: str) -> str:
    return f"{size.replace(' ', '')}.png"


async def _upload(base: str, name: str, content: bytes) -> None:
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as http:
        answer = await http.post("/upload/image", files={"image": (name, content)})
        answer.raise_for_status()


async def _row(bench: Bench, size: str, task_id: str) -> Row:
    length, connections, full, quick, goal = SIZES[size]
    count = bench.effort.of(full, quick)

    async def download(base: str, path: str) -> float:
        outcome = await Load(base, [path], connections=connections, count=count).run()
        if outcome.check(200).bytes != count * length:
            raise RuntimeError("files came back of another size")
        return outcome.rate

    async def ours() -> float:
        return await download(bench.gateway.base, f"/api/image/{_name(size)}?task_id={task_id}")

    async def theirs() -> float:
        return await download(bench.comfyui, f"/view?filename={_name(size)}&type=input")

    found = await by_turns(bench.effort.rounds, {"direct": theirs, "gateway": ours})
    alone = ""
    if length < MEGABYTE:
        alone = f"{await Floor().measure('/file', connections=connections, count=count)}."
    share = ratios(found["gateway"], found["direct"])
    return Row(
        what=f"image download, {size}",
        goal=f"≥ {goal:.0%} of the direct /view rate",
        result=f"{median(share):.0%} of direct",
        met=median(share) >= goal,
        figures={party: _shown(median(rates), length) for party, rates in found.items()},
        spread=f"{spread(share)} of direct",
        note=alone,
    )


def _shown(per_second: float, length: int) -> str:
    return rate(per_second) if length < MEGABYTE else f"{per_second * length / MEGABYTE:,.0f} MB/s"
