"""The table that a run of the matrix ends with."""

from collections.abc import Iterator, Sequence

from tests.scenarios.faults.judge import Verdict

_HEAD = ("fault", "recipients", "lost", "doubled", "bound", "parked", "seconds")


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Its lines; what is wrong with a row follows the row."""
    width = max([len(_HEAD[0]), *(len(verdict.name) for verdict in verdicts)])
    yield _line(width, *_HEAD)
    for verdict in verdicts:
        counts = (verdict.recipients, verdict.lost, verdict.doubled, verdict.bound, verdict.parked)
        yield _line(width, verdict.name, *(f"{count:,}" for count in counts), f"{verdict.seconds:.1f}")
        yield from (f"    WRONG: {sentence}" for sentence in verdict.wrong)


def _line(width: int, name: str, *cells: str) -> str:
    return " ".join([f"{name:{width}}", *(f"{cell:>10}" for cell in cells)])
