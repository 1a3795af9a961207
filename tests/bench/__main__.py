"""`python -m tests.bench [NAME ...]`: all benchmarks, or those named; `--help` says the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tests.bench import chart, delivery, distance, intake, journal, lane, queue, scale, store, telling, webhook
from tests.bench.figures import Row
from tests.bench.peers import bench as peers
from tests.bench.report import document


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """One benchmark: `run` is given the number of rounds where it compares in rounds."""

    run: Callable[[int], Sequence[Row]]
    in_rounds: bool = False
    by_name: bool = False  # only where it is named: it takes its time


_BENCHES = {
    "delivery": _Bench(run=delivery.run, in_rounds=True),
    "peers": _Bench(run=peers.run, in_rounds=True),
    "distance": _Bench(run=distance.run, in_rounds=True),
    "store": _Bench(run=store.run, in_rounds=True),
    "scale": _Bench(run=lambda rounds: scale.run()),
    "intake": _Bench(run=lambda rounds: intake.run()),
    "journal": _Bench(run=lambda rounds: journal.run()),
    "lane": _Bench(run=lambda rounds: lane.run()),
    "queue": _Bench(run=lambda rounds: queue.run()),
    "telling": _Bench(run=lambda rounds: telling.run()),
    "webhook": _Bench(run=lambda rounds: webhook.run(), by_name=True),
}
_ROUNDS = 3


_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(_BENCHES)), metavar="[NAME]...")
@click.option("--rounds", type=click.IntRange(1, 99), help=f"Rounds of those that compare in rounds. [default: {_ROUNDS}]")
@click.option("--json", "json_file", type=_FILE, help="Write all figures to this file, and what they were taken under.")
@click.option("--chart", "chart_file", type=_FILE, help="Draw what `peers` found as SVG.")
def main(names: tuple[str, ...], rounds: int | None, json_file: Path | None, chart_file: Path | None) -> None:
    chosen = tuple(dict.fromkeys(names)) or tuple(name for name, bench in _BENCHES.items() if not bench.by_name)
    if rounds is not None and not any(_BENCHES[name].in_rounds for name in chosen):
        raise click.UsageError(f"--rounds: {', '.join(chosen)} compares nothing in rounds")
    if chart_file and "peers" not in chosen:
        raise click.UsageError("--chart draws what `peers` found: name it, too")
    for file in filter(None, (json_file, chart_file)):
        if not file.absolute().parent.is_dir():
            raise click.UsageError(f"{file}: there is no such folder")
    found: dict[str, Sequence[Row]] = {}
    for name in chosen:
        found[name] = _BENCHES[name].run(rounds or _ROUNDS)
        if json_file:  # after each, so that whatever ends the run leaves what there was
            json_file.write_bytes(document(found, rounds or _ROUNDS))
        if chart_file and name == "peers":
            chart_file.write_text(chart.draw(found[name]), encoding="utf-8")


_ALL, _NAMED = (", ".join(name for name, bench in _BENCHES.items() if bench.by_name is by_name) for by_name in (False, True))
main.help = f"Run all benchmarks, or those named: {_ALL}; and, only where it is named: {_NAMED}."

if __name__ == "__main__":
    main(prog_name="python -m tests.bench")
