"""Medians, percentiles and how they are written. Pure."""

from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    rank = min(int(share * len(ordered)), len(ordered) - 1)
    return ordered[rank]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round: what disturbs the machine for a while disturbs both."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if abs(seconds) < 1 else f"{seconds:.2f} s"


def rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s" if per_second >= 100 else f"{per_second:.1f}/s"


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The lowest and the highest of all rounds."""
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


__all__ = ["median", "ms", "percentile", "rate", "ratios", "spread"]
