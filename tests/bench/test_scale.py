"""What the table of an axis says of its points."""

import pytest

from tests.bench import scale
from tests.bench.figures import Figures
from tests.bench.steady import Load


def test_each_point_is_held_against_the_first_and_what_leaves_the_band_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = {"one": 500.0, "ten": 595.0, "many": 700.0, "few": 390.0}

    async def measure(load: Load) -> Figures:
        return {"cpu_us": cost[load.name]}

    monkeypatch.setattr(scale, "measure", measure)
    monkeypatch.setattr(scale, "AXES", {"things": [Load(name=name) for name in cost]})
    rows = scale.run(["things"])
    assert [row.median("ratio") for row in rows] == pytest.approx([1.0, 1.19, 1.4, 0.78])
    assert capsys.readouterr().out.splitlines()[-2:] == ["things: not within 20% of the first: many, few", ""]


def test_a_name_of_no_axis_is_refused() -> None:
    with pytest.raises(SystemExit, match="nothing: no such axis; there are lanes, connections"):
        scale.main(["nothing"])
