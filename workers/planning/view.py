"""The forecast for people: when it ends and what is lost, by receiver and by day, and what one more source changes."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from sender.explaining.explanation import counted, span
from sender.policy.forecast import Forecast, RouteForecast
from sender.policy.schedule import FOR_EVER
from workers.planning.report import OneMore, Report, Span, binding, delivered, largest, spans

WIDTH = 100
_ROUTES_SHOWN = 15  # --json has them all
_NAMES = 26  # columns that receiver and source take
_DAY = 12  # and a column of days
_MATTERS_S = 60.0  # less changes nothing
_HELPED_SHOWN = 3  # receivers
_FULL = "*"
_FULL_MEANS = f"{_FULL} all that its warmup permits on those days"


def show(report: Report, console: Console) -> None:
    """All of it, no wider than `WIDTH`."""
    width, marked = min(WIDTH, console.width), False
    console.print("\n".join(_head(report)), width=width, highlight=False, markup=False)
    if report.forecast.routes:
        console.print()
        console.print(by_receiver(report), width=width)
        days = by_day(report, width)
        console.print(days, width=width)
        marked = any(str(cell).endswith(_FULL) for column in days.columns for cell in column.cells)
    foot = (*_one_more(report), *([_FULL_MEANS] if marked else []), *_taken_for_granted(report))
    console.print("\n".join(foot), width=width, highlight=False, markup=False)


def _head(report: Report) -> Iterator[str]:
    census, found = report.census, report.forecast
    sources = counted(len(report.sources), "source")
    yield f"{report.campaign}: {counted(census.mailable, 'recipient')}, {sources} of pool {report.pool}"
    if refused := list(_not_mailed(report)):
        yield f"  not mailed  {', '.join(refused)}"
    if not found.routes:
        return
    begins = min(route.begins for route in found.routes)
    yield f"  begins      {report.moment(begins)}"
    yield f"  all tried   {report.moment(found.tried)}{_after(found, found.tried)}"
    yield f"  all done    {report.moment(found.eta)}{_after(found, found.eta)}: the last one has its final state"
    for name, what in (
        ("rejected", "refused for good"),
        ("spilled", "go to warm sources beside cold ones"),
        ("expired", "expire: the deadline, or the age at which they are given up"),
        ("left", "are taken by nobody: see what holds their receivers"),
    ):
        if (count := found.total(name)) >= 1:
            yield f"  {name:<11} {counted(round(count), 'recipient')}: {what}"


def _not_mailed(report: Report) -> Iterator[str]:
    census = report.census
    if census.invalid:
        reasons = ", ".join(f"{what} {count:,}" for what, count in census.invalid.most_common(3))
        yield f"{census.invalid.total():,} invalid ({reasons})"
    if census.suppressed:
        yield f"{census.suppressed:,} suppressed"
    if census.null_mx:
        yield f"{census.null_mx:,} at domains that take no mail"


def _after(found: Forecast, moment: float) -> str:
    return f", in {span(moment - found.now)}" if moment < FOR_EVER else ""


def by_receiver(report: Report) -> Table:
    """A row a receiver: the largest first. Of losses only those that there are have a column: 80 characters hold few."""
    losses = [name for name in ("spilled", "expired") if report.forecast.total(name) >= 1]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("receiver", no_wrap=True)
    for title in ("recipients", "delivered", *losses):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("all done", no_wrap=True)
    table.add_column("held by")  # gives way where the terminal is narrow
    for route in largest(report.forecast, _ROUTES_SHOWN):
        numbers = (route.envelopes, route.delivered, *(getattr(route, name) for name in losses))
        table.add_row(route.receiver, *map(_number, numbers), report.short(route.eta), binding(route))
    return table


def by_day(report: Report, width: int) -> Table:
    """Deliveries by receiver, source and day; where there are many days, several share a column."""
    columns = spans(report.forecast, max(1, (width - _NAMES) // _DAY))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("receiver", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    for route in largest(report.forecast, _ROUTES_SHOWN):
        sources = sorted({item.source for item in route.days})
        for place, source in enumerate(sources):
            cells = [_cell(route, column, source) for column in columns]
            table.add_row(route.receiver if place == 0 else "", source, *cells)
    return table


def _cell(route: RouteForecast, column: Span, source: str) -> str:
    """What goes in these days; marked where that is all that the plan permits on each of them."""
    count = delivered(route, column, source)
    caps = [item for item in route.days if item.source == source and column.first <= item.day <= column.last]
    full = bool(caps) and all(item.cap is not None and item.delivered >= 0.9 * item.cap for item in caps)
    return f"{_number(count)}{_FULL if full else ' '}"


def _one_more(report: Report) -> Iterator[str]:
    for place, variant in enumerate(report.one_more):
        if place == 0:
            yield "with one more source in the pool, all done:"
        kind = f"new, on plan {variant.plan}" if variant.plan else "a warm one"
        gain = variant.earlier_s(report.forecast)
        words = (
            f"{span(gain)} earlier"
            if _MATTERS_S < gain < FOR_EVER
            else "without it never"
            if gain == FOR_EVER
            else "no earlier"
        )
        yield f"  {kind:<24} {report.short(variant.forecast.eta)}, {words}"
        if most := list(_sooner(variant, report.forecast)):
            yield f"  {'':<24} {', '.join(most)}"


def _sooner(variant: OneMore, before: Forecast) -> Iterator[str]:
    """The receivers that it would help most."""
    saved = variant.by_receiver(before)
    for name in sorted(saved, key=lambda name: -saved[name])[:_HELPED_SHOWN]:
        if saved[name] > _MATTERS_S:
            yield f"{name} {span(saved[name])} earlier" if saved[name] < FOR_EVER else f"{name} at last"


def _taken_for_granted(report: Report) -> Iterator[str]:
    """What the figures stand on."""
    guessed = [name for name in report.expectations if name not in report.measured]
    shares = [f"{name} {100 * report.expectations[name].delivered:.1f}%" for name in report.measured[:5]]
    if guessed:
        share = report.expectations[guessed[0]].delivered
        shares.append(f"{'others' if shares else 'all'} {100 * share:.0f}%, assumed")
    yield f"delivered at the first try: {', '.join(shares)}; {1000 * report.latency_s:.0f} ms a message and connection"
    if report.offline:
        yield "offline: receivers are known by domain names alone; whom no profile names is of the long tail"
    if report.census.unanswered:
        missing = f"{report.census.unanswered:,} of {report.census.looked_up:,} domains"
        yield f"DNS could not tell of {missing}: they count as the long tail"
    if report.census.left_out:
        yield f"{report.census.left_out:,} smaller domains were not looked up: they count as the long tail (--lookups)"
    if report.without_store:
        yield "no store could be asked: from settings alone, as if nothing had been sent or queued yet"


def _number(count: float) -> str:
    return f"{round(count):,}" if round(count) else "-"
