"""Which keys sign when."""

from math import inf

import pytest

from sender.content.rotation import Algorithm, DkimKey, active


def key(
    selector: str,
    algorithm: Algorithm = Algorithm.RSA,
    domain: str = "shop.example",
    *,
    not_before: float = 0.0,
    not_after: float = inf,
    expires_s: float | None = None,
) -> DkimKey:
    return DkimKey(
        domain=domain,
        selector=selector,
        algorithm=algorithm,
        not_before=not_before,
        not_after=not_after,
        expires_s=expires_s,
    )


def test_newest_begun_key_of_each_domain_and_algorithm_signs() -> None:
    old, new, later = key("s1"), key("s2", not_before=100.0), key("s3", not_before=200.0)
    curve, other = key("e1", Algorithm.ED25519), key("s1", domain="other.example")
    keys = [later, old, curve, new, other]
    assert active(keys, 99.0) == (old, curve, other)
    assert active(keys, 100.0) == (new, curve, other)
    assert active(keys, 1e9) == (later, curve, other)


def test_key_stops_at_its_last_moment() -> None:
    old, new = key("s1"), key("s2", not_before=100.0, not_after=200.0)
    assert active([old, new], 199.9) == (new,)
    assert active([old, new], 200.0) == (old,)
    assert active([new], 200.0) == ()


def test_later_of_two_equals_signs() -> None:
    assert active([key("s1"), key("s2")], 0.0) == (key("s2"),)


@pytest.mark.parametrize(
    "name", ["", "Shop.example", "shop..example", "-shop", "sh op", "shop;x=1", "é.example", "a\r\nb", "x" * 64]
)
def test_names_that_cannot_stand_in_a_tag_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a lower-case DNS name"):
        key(name)
    with pytest.raises(ValueError, match="expected a lower-case DNS name"):
        key("s1", domain=name)


def test_impossible_dates_are_refused() -> None:
    with pytest.raises(ValueError, match="last moment"):
        key("s1", not_before=5.0, not_after=5.0)
    with pytest.raises(ValueError, match="live at least"):
        key("s1", expires_s=0.5)
    with pytest.raises(ValueError, match="longer than 255"):
        key("s" * 63, domain=".".join(["d" * 63] * 4))
