"""`redis.url`: every form that is allowed, every mistake by its name, and never a password in a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.settings.checks import redis_flaw
from sender.settings.store_url import SCHEMES, StoreUrl, Topology


def test_one_server() -> None:
    url = StoreUrl.parse("rediss://ann:p%40ss@db.example:6380/3?ca_file=/etc/ca.pem&cert_file=/etc/us.pem")
    assert (url.topology, url.tls, url.hosts, url.database) == (Topology.ONE, True, (("db.example", 6380),), 3)
    assert (url.user, url.password, url.ca_file, url.cert_file) == ("ann", "p@ss", "/etc/ca.pem", "/etc/us.pem")
    assert str(url) == "rediss://db.example:6380/3"
    assert StoreUrl.parse("redis://").hosts == (("localhost", 6379),)
    assert StoreUrl.parse("valkey://[::1]").hosts == (("::1", 6379),)
    assert StoreUrl.parse(" REDIS://db/2 ").database == 2
    assert str(StoreUrl.parse("valkey://[::1]")) == "valkey://[::1]:6379"


def test_a_socket() -> None:
    url = StoreUrl.parse("unix://:secret@/run/a%20b.sock?db=2")
    assert (url.hosts, url.password, url.database, url.remote) == ((("/run/a b.sock", 0),), "secret", 2, False)


def test_sentinels() -> None:
    url = StoreUrl.parse("redis+sentinel://ann:pw@s1:26380,s2,[2001:db8::3]/mymaster/1?sentinel_user=eve&sentinel_password=x")
    assert (url.topology, url.service, url.database) == (Topology.SENTINEL, "mymaster", 1)
    assert url.hosts == (("s1", 26380), ("s2", 26379), ("2001:db8::3", 26379))
    there = url.at_sentinels()
    assert (there.user, there.password, there.database) == ("eve", "x", 0)
    assert str(url) == "redis+sentinel://s1:26380,s2:26379,[2001:db8::3]:26379/mymaster/1"


def test_a_cluster() -> None:
    url = StoreUrl.parse("valkeys+cluster://:pw@a:7000,b:7001")
    assert (url.topology, url.tls, url.hosts) == (Topology.CLUSTER, True, (("a", 7000), ("b", 7001)))


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("redis://localhost", False),
        ("redis://127.0.0.1:7", False),
        ("redis://db", True),
        ("redis+cluster://localhost,db", True),
    ],
)
def test_what_is_on_another_host(url: str, remote: bool) -> None:
    assert StoreUrl.parse(url).remote is remote


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://x", "starts with none of redis://, rediss://, redis"),
        ("redis://:secret@a,b", r"names 2 hosts: write redis\+sentinel:// or redis\+cluster://"),
        ("redis://:secret@host:abc", "its host or port can't be read"),
        ("redis://:secret@host:70000", "a port is a number up to 65535"),
        ("redis://:secret@[::1", "an IPv6 address stands in brackets"),
        ("redis://:secret@[1.2.3.4]", "an IPv6 address stands in brackets"),
        ("redis://:secret@[::g]:1", "an IPv6 address stands in brackets"),
        ("redis://:sec#ret@host", "there is a # in it: in a password write %23"),
        ("redis://:secret@host:0", "no server listens on port 0"),
        ("redis://:secret@host/zero", "'/zero' is no database: write /0"),
        ("redis://:secret@host?db=x", "'x' is no database"),
        ("redis+sentinel://:secret@host", "names no service of the Sentinels: write /mymaster behind the hosts"),
        ("redis+sentinel://:secret@host/a%20b", "names no service"),
        ("redis+cluster://:secret@host/1", "/1: a cluster has database 0 only"),
        ("unix://run/x.sock", "names no absolute path: write unix:///path/of/socket"),
        ("redis://:secret@host?socket_timeout=secret", "unknown option 'socket_timeout'; allowed are db, ca_file"),
        ("redis://:secret@host?ca_file=/x", "ca_file without TLS: write rediss"),
        ("rediss://:secret@host?ca_file=secret.pem", "ca_file is no absolute path"),
        ("rediss://:secret@host?key_file=/x", "key_file without cert_file"),
        ("rediss://:secret@host?ca_file=", "the option 'ca_file' has no value"),
        ("redis://:secret@host?sentinel_password=secret", r"sentinel_password: only a \+sentinel URL asks Sentinels"),
    ],
)
def test_a_mistake_is_named_and_no_password(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        StoreUrl.parse(url)
    assert "secret" not in str(caught.value).replace("secret.pem", "")


@given(scheme=st.sampled_from(sorted(SCHEMES)), rest=st.text(alphabet="ab:@/[],?=&%0123456789#.-", max_size=40))
def test_whatever_is_written_there_it_is_read_or_refused_with_words(scheme: str, rest: str) -> None:
    text = f"{scheme}://{rest}"
    if why := redis_flaw(text):
        assert len(why) > 10
    elif (url := StoreUrl.parse(text)).scheme != "unix":
        assert StoreUrl.parse(str(url)).hosts == url.hosts


def test_neither_text_nor_repr_shows_a_password() -> None:
    url = StoreUrl.parse("redis+sentinel://ann:hidden1@s1/main?sentinel_password=hidden2")
    assert "hidden" not in f"{url} {url!r}"
