"""What queries are made of: the filters by variables, and zeros where a series does not exist yet."""

FLEET = 'job=~"$job"'
RECEIVER = f'{FLEET},receiver=~"$receiver"'
LANE = f'{FLEET},source=~"$source",receiver=~"$receiver"'


def per_second(selector: str, *by: str, over: str = "$__rate_interval") -> str:
    """A counter's rate, summed over processes and all labels but these."""
    return f"sum{_by(by)} (rate({selector}[{over}]))"


def share_deferred(*by: str, over: str = "$__rate_interval") -> str:
    """Of what the chosen lanes tried, the share that was put off."""
    tried = per_second(f'penstock_attempts_total{{{LANE},outcome!="unsent"}}', *by, over=over)
    deferred = per_second(f'penstock_attempts_total{{{LANE},outcome="deferred"}}', *by, over=over)
    return f"({or_none(deferred, tried)}) / {tried}"


def quantile(share: float, selector: str, *by: str) -> str:
    """A quantile of a histogram, whose buckets `selector` names, over all processes."""
    return f"histogram_quantile({share}, {per_second(selector, *by, 'le')})"


def or_none(expression: str, base: str) -> str:
    """`expression`, and 0 for what is in `base` alone: the series of what never happened does not exist."""
    return f"{expression} or {base} * 0"


def or_zero(expression: str, label: str) -> str:
    """`expression`, and where it has nothing at all a 0 whose label says "none"."""
    return f'{expression} or label_replace(vector(0), "{label}", "none", "", "")'


def total(expression: str) -> str:
    """The sum over everything, 0 where there is nothing: a figure has to say "none", and not "no data"."""
    return f"sum({expression}) or vector(0)"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
