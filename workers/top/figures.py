"""Numbers and times in few characters."""


def short(number: float) -> str:
    """A count in at most five characters: 9,999, 12.3k, 123k, 1.23M."""
    if number < 9_999.5:
        return f"{number:,.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        share = number / size
        if share < 999.5:
            return f"{share:.{2 if share < 9.995 else 1 if share < 99.95 else 0}f}{unit}"
    return f"{number:.0e}"


def rate(per_second: float | None) -> str:
    """So many a second; a dash where it is not known."""
    if per_second is None:
        return "-"
    if not 0.005 <= per_second < 9.95:
        return short(per_second)
    return f"{per_second:.1f}" if per_second >= 0.995 else f"{per_second:.2f}"


def brief(seconds: float) -> str:
    """A time span in at most six characters, the two largest units: 45s, 12m05s, 3h12m, 5d04h."""
    left = round(max(0.0, seconds))
    days, hours, minutes, rest = left // 86_400, left // 3_600 % 24, left // 60 % 60, left % 60
    if days >= 100:
        return f"{days}d"
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def rough(seconds: float) -> str:
    """A time span in at most four characters: 45s, 12m, 3h, 5d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
