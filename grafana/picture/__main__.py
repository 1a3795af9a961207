"""`python -m grafana.picture URL` draws every dashboard from a running Prometheus."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from time import time

from grafana.asking import Asker, Span
from grafana.picture.page import picture
from grafana.reading import read

_FILES = Path(__file__).parent.parent / "json"


def main(arguments: list[str]) -> None:
    """Write NAME.svg for each dashboard."""
    parser = ArgumentParser(prog="python -m grafana.picture", description="Draw every dashboard from a running Prometheus.")
    parser.add_argument("url", help="where Prometheus answers, such as http://127.0.0.1:9090")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the pictures go (default: here)")
    parser.add_argument("--last", type=float, default=10_800.0, metavar="SECONDS", help="how far back (default: 3 hours)")
    parser.add_argument("--until", type=float, default=time(), metavar="UNIX", help="up to when, Unix seconds (default: now)")
    parser.add_argument("--scrape", type=float, default=15.0, metavar="SECONDS", help="the scrape interval (default: 15)")
    parser.add_argument("--only", metavar="NAME", help="one dashboard, by the name of its file")
    parser.add_argument(
        "--choose", action="append", default=[], metavar="VARIABLE=VALUE", help="one value of a variable, not all"
    )
    given = parser.parse_args(arguments)
    span = Span(start=given.until - given.last, end=given.until, scrape_s=given.scrape)
    chosen = {name: [value] for name, _, value in (each.partition("=") for each in given.choose)}
    files = {path.stem: path for path in sorted(_FILES.glob("*.json")) if given.only in (None, path.stem)}
    if not files:
        parser.error(f"--only {given.only}: there are {', '.join(sorted(path.stem for path in _FILES.glob('*.json')))}")
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        for name, path in files.items():
            file = given.out / f"{name}.svg"
            file.write_text(picture(read(path), Asker(given.url.rstrip("/"), span, chosen)))
            print(file)
    except (OSError, ValueError) as error:  # nobody answers at the URL, or no Prometheus; or the directory can't be had
        parser.exit(1, f"{given.url}, {given.out}: {error}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
