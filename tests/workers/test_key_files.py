"""The age of DKIM keys: what the files say, and nothing of those that can't be looked at."""

import os
from pathlib import Path

from sender.settings import load
from workers.key_files import written


def test_keys_are_as_old_as_their_files(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("""
[[identity]]
domain = "shop.example"
keys = [{ selector = "s2026", file = "s2026.pem" }, { selector = "s2027", file = "not-yet.pem" }]
""")
    (tmp_path / "s2026.pem").write_text("nothing of it is read")
    (tmp_path / "s2026.pem").chmod(0)
    os.utime(tmp_path / "s2026.pem", (1.0, 1_700_000_000.0))
    assert written(load(tmp_path)) == {("shop.example", "s2026"): 1_700_000_000.0}
