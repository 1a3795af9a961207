"""The wheel: built from the checkout and installed elsewhere, it brings its configuration, and its demo runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with nothing but the wheel's content; what it depends on comes from this environment."""
    base = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(base), cwd=ROOT)
    (wheel,) = base.glob("penstock-*.whl")
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps")
    run(*pip, "--target", str(base / "site"), str(wheel), cwd=base)
    return base / "site"


def environment(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}


@pytest.mark.integration
def test_it_finds_its_own_configuration(installed: Path, tmp_path: Path) -> None:
    code = "import sender.settings as s; print(s.shipped())"
    assert run("-c", code, cwd=tmp_path, env=environment(installed)).strip() == str(installed / "sender" / "config")
    for folder in ("receivers", "warmup"):
        assert sorted(path.name for path in (installed / "sender" / "config" / folder).iterdir()) == sorted(
            path.name for path in (ROOT / "config" / folder).iterdir()
        )


@pytest.mark.integration
def test_it_finds_its_own_files_for_prometheus(installed: Path, tmp_path: Path) -> None:
    code = "import workers.demo.prometheus as p; print(p.shipped())"
    found = Path(run("-c", code, cwd=tmp_path, env=environment(installed)).strip())
    assert found.is_relative_to(installed)
    shipped = ROOT / "deploy" / "prometheus"
    assert {path.name: path.read_text() for path in found.iterdir()} == {
        path.name: path.read_text() for path in shipped.iterdir()
    }


@pytest.mark.integration
def test_its_demo_runs(installed: Path, tmp_path: Path) -> None:
    shown = run("-m", "workers.cli", "demo", "--recipients", "200", cwd=tmp_path, env=environment(installed))
    assert "does not add up" not in shown
    assert "sum of final states" in shown
    assert list(tmp_path.iterdir()) == []
