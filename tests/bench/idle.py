"""Two thousand lanes with nothing to do, in one real delivery process: what share of a core they take.

Each lane has sent a message and keeps its session open, to a receiver that says nothing; nothing waits.
"""

import subprocess
import tempfile
from io import BytesIO
from pathlib import Path

import trio

from sender.queue.base import Queue
from tests.bench.account import cpu_by_role
from tests.bench.receiving import compile_sink, receiving_side
from tests.bench.rig import Case, configured
from tests.scenarios.stage import eventually
from workers.commands.submit import submit
from workers.demo.scene import fleet
from workers.store import open_configured_queue

_CALM_S, _MEASURED_S = 30.0, 60.0
_PATIENCE_S = 300.0
_IDLE = '[limits]\nidle_s = "1h"\nconnections = 1\n'


async def idle_share(lanes: int, measured_s: float = _MEASURED_S) -> float:
    """The share of a core that the delivery process takes; printed, too."""
    case = Case(name="idle", delivery=1, messages=lanes)
    names = [f"idle{number}.example" for number in range(lanes)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        directory = Path(folder)
        with receiving_side(case, directory, compile_sink(directory)) as sink:
            async with configured(case, directory, organisations=names) as config:
                (config / "receivers/_default.toml").write_text(_IDLE)
                async with fleet(config, directory / "fleet.log") as process:
                    share = await _share(config, names, process, sink, measured_s)
    print(f"lane, {lanes:,} of them idle with a session each in one process: {share:.2%} of a core over {measured_s:.0f} s")
    return share


async def _share(
    config: Path, names: list[str], process: trio.Process, sink: "subprocess.Popen[str]", measured_s: float
) -> float:
    async with open_configured_queue(config, patience_s=30) as (settings, queue):
        campaign = config.parent / "idle.toml"
        campaign.write_text('from = "Bench <bench@bench.example>"\nsubject = "Hello"\ntext = "Hello."\n')
        rows = "to\n" + "".join(f"reader@{name}\n" for name in names)
        await submit(campaign, BytesIO(rows.encode()), "idle", settings, queue)
        await eventually("each has its message, and nothing else to do", lambda: _resting(queue, len(names)), _PATIENCE_S)
        await trio.sleep(_CALM_S)
        before = cpu_by_role(process.pid, sink.pid)["delivery"]
        await trio.sleep(measured_s)
        return (cpu_by_role(process.pid, sink.pid)["delivery"] - before) / measured_s


async def _resting(queue: Queue, lanes: int) -> bool:
    reports = [report for report in (await queue.lanes()).values() if report.limit == "nothing to send" and report.sessions]
    return len(reports) >= lanes
