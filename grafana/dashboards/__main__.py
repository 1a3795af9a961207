"""`python -m grafana.dashboards` writes grafana/json anew."""

from grafana.dashboards.all import JSON, files


def main() -> None:
    """Write every dashboard, and take away what is none any more."""
    JSON.mkdir(exist_ok=True)
    made = files()
    for path in JSON.glob("*.json"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (JSON / name).write_text(text)


main()
