"""What binds of a cap that several share: of a source's long tail, or of a sending identity."""

from sender.explaining.explanation import Limit, Reason
from sender.queue.warmups import Use, Window

_SECONDS = {Window.HOUR: 3600.0, Window.MINUTE: 60.0}
ORIGIN = "its warmup plan (penstock warmup)"


def cap_reason(name: str, use: Use, now: float) -> Reason | None:
    """Why nothing more goes under this cap, and when it opens; None where it has room, or where there is none."""
    cap = use.cap
    if cap is None:
        return None
    if now >= cap.ends:
        text = f"the sending day of {name} is not planned yet"
        return Reason(limit=Limit.SCHEDULER, text=text, origin="penstock run scheduler")
    if not cap.per_day:
        return _shut(f"{name} is stopped by its warmup; penstock warmup says why", cap.ends)
    counts = (
        (Window.DAY, use.day, cap.per_day),
        (Window.HOUR, use.hour, cap.per_hour),
        (Window.MINUTE, use.minute, cap.per_minute),
    )
    for window, count, most in counts:
        if count >= most:
            a = "an" if window is Window.HOUR else "a"
            text = f"{name} has sent what its warmup permits for now: {most:,} {a} {window}"
            return _shut(text, _opens(cap.starts, cap.ends, window, now))
    return None


def _shut(text: str, until: float) -> Reason:
    return Reason(limit=Limit.LANE, text=text, origin=ORIGIN, until=until, detail="cap")


def _opens(starts: float, ends: float, window: Window, now: float) -> float:
    """When the next window of this kind begins: they are counted from the beginning of the day."""
    length = _SECONDS.get(window)
    return min(ends, starts + ((now - starts) // length + 1) * length) if length else ends
