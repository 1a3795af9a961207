"""Values in their units, as short as Grafana writes them."""

from math import floor, isfinite, log10

_SMALLER = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"), (0.000_001, "µs"))
_ROUND_S = (
    0.001,
    0.01,
    0.1,
    0.2,
    0.4,
    1.0,
    2.0,
    4.0,
    10.0,
    20.0,
    60.0,
    120.0,
    240.0,
    600.0,
    1_200.0,
    3_600.0,
    7_200.0,
    14_400.0,
)
_LARGER = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))  # from which value on, divided by what
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def written(value: float, unit: str, now: float = 0.0) -> str:
    """The value in the unit, by Grafana's name for it; `now`, Unix seconds, is for ages alone."""
    if not isfinite(value):
        return "-" if value != value else "∞"
    if unit == "percentunit":
        return f"{_digits(value * 100)} %"
    if unit == "s":
        return _scaled(value, _SMALLER, "s")
    if unit == "bytes":
        return _scaled(value, _BYTES, "B")
    if unit == "dateTimeFromNow":
        return f"{_scaled(max(0.0, now - value / 1000), _SMALLER[:4], 's')} ago"
    return _short(value) + (unit.removeprefix("suffix: ") if unit.startswith("suffix:") else "")


def ceiling(most: float, unit: str) -> float:
    """Where an axis ends: the first round number above, in the unit's own steps, whose half is round, too."""
    if most <= 0:
        return 1.0
    if unit == "s":
        for round_s in _ROUND_S:
            if most <= round_s:
                return round_s
    base = 2.0 ** (10 * floor(max(0.0, log10(most)) / log10(1024.0))) if unit == "bytes" else 1.0
    size = 10.0 ** floor(log10(most / base))
    return base * next(step * size for step in (1, 2, 4, 8, 10) if step * size >= most / base * 0.999)


def _short(value: float) -> str:
    for least, size, letter in _LARGER:
        if abs(value) >= least:
            return f"{_digits(value / size)} {letter}"
    return f"{value:,.0f}" if value == int(value) else _digits(value)


def _scaled(value: float, sizes: tuple[tuple[float, str], ...], least: str) -> str:
    for size, name in sizes:
        if abs(value) >= size:
            return f"{_digits(value / size)} {name}"
    return f"0 {least}" if value == 0 else f"{_digits(value)} {least}"


def _digits(value: float) -> str:
    """Three digits that matter."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"
