"""Figures of several workers on one page."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.worker_figures import WorkerFigures, merged


def page(requests: int, *, labels: bool = True) -> bytes:
    registry = CollectorRegistry()
    counter = Counter("requests", "Answers, of all \\n kinds", ["route"], registry=registry)
    if labels:
        counter.labels('/a "{b}"').inc(requests)
    Gauge("open", "Streams", registry=registry).set(requests)
    return generate_latest(registry)


def test_each_sample_names_its_worker_and_a_figure_is_in_one_place() -> None:
    text = merged({"1": page(3), "2": page(4)}).decode()
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    assert found["requests_total", ("route", '/a "{b}"'), ("worker", "1")] == 3
    assert found["requests_total", ("route", '/a "{b}"'), ("worker", "2")] == 4
    assert found["open", ("worker", "2")] == 4


def test_a_figure_that_one_worker_has_not_is_that_of_the_others() -> None:
    text = merged({"1": page(3, labels=False), "2": page(4), "3": b""}).decode()
    assert 'requests_total{worker="2",route=' in text
    assert 'open{worker="1"} 3.0' in text


@pytest.mark.posix("there are no workers")
async def test_workers_ask_each_other_and_leave_out_who_is_gone(tmp_path: Path) -> None:
    first, second = (
        WorkerFigures(tmp_path, lambda count=count: page(count))  # type: ignore[misc]
        for count in (3, 4)
    )
    async with await first.listen(1), await second.listen(2):
        for asked in (first, second):
            text = (await asked.page()).decode()
            assert 'open{worker="1"} 3.0' in text
            assert 'open{worker="2"} 4.0' in text
    (tmp_path / "2").touch()
    async with await first.listen(1):
        text = (await first.page()).decode()
    assert 'open{worker="1"} 3.0' in text
    assert 'worker="2"' not in text
