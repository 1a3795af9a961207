"""No message may be carried to an address that is not a public mail host's."""

import pytest

from sender.net.addresses import Targets, versions
from sender.settings import IpPreference

FORBIDDEN = (
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "::127.0.0.1",
    "100::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)

PUBLIC = (
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.167.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4010:c00::1a",
    "64:ff9b::101:101",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
)


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.row("S10")
def test_special_addresses_are_refused(address: str) -> None:
    assert f"{address} is forbidden" in (Targets().refusal(address) or "")


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert Targets().refusal(address) is None


def test_a_name_is_no_address() -> None:
    assert "not an IP address" in (Targets().refusal("mx.example.test") or "")


@pytest.mark.row("S10")
def test_own_addresses_are_refused_in_any_spelling() -> None:
    targets = Targets(own=["1.2.3.4", "2606:4700::1"])
    assert targets.refusal("1.2.3.4") == "1.2.3.4 is forbidden: our own address"
    assert targets.refusal("::ffff:1.2.3.4") is not None
    assert targets.refusal("2606:4700:0::1") is not None
    assert targets.refusal("1.2.3.5") is None


@pytest.mark.row("S10")
def test_the_allow_list_opens_what_it_names_and_nothing_else() -> None:
    targets = Targets(allow=["127.0.0.0/8"], own=["127.0.0.5"])
    assert targets.refusal("127.0.0.1") is None
    assert targets.refusal("127.0.0.5") is None
    assert targets.refusal("::ffff:127.0.0.1") is None
    assert targets.refusal("10.0.0.1") is not None
    assert targets.refusal("::1") is not None


def test_allowing_a_translated_address_does_not_take_the_wrapper_alone() -> None:
    assert Targets(allow=["64:ff9b::/96"]).refusal("64:ff9b::7f00:1") is not None


def test_an_allow_entry_that_is_no_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        Targets(allow=["localhost"])


@pytest.mark.parametrize(
    ("preference", "bound_to", "expected"),
    [
        (IpPreference.PREFER_IPV6, "", (6, 4)),
        (IpPreference.PREFER_IPV4, "", (4, 6)),
        (IpPreference.IPV4, "", (4,)),
        (IpPreference.IPV6, "", (6,)),
        (IpPreference.PREFER_IPV6, "9.9.9.9", (4,)),
        (IpPreference.PREFER_IPV4, "2606::9", (6,)),
        (IpPreference.IPV4, "2606::9", ()),
    ],
)
def test_a_source_uses_the_addresses_of_its_own_kind(
    preference: IpPreference, bound_to: str, expected: tuple[int, ...]
) -> None:
    assert versions(preference, bound_to) == expected
