"""Ports that tests are given: nobody else's, though nobody listens on them yet."""

import socket
import subprocess
import sys

from tests.ports import free_port, free_ports

_ANOTHER = "from tests.ports import free_ports; print(free_ports(100)); input()"


def test_no_port_is_given_twice_though_nobody_listens_on_it() -> None:
    given = [free_port() for _ in range(50)]
    given += [port for first in (free_ports(8), free_ports(8)) for port in range(first, first + 8)]
    assert len(set(given)) == len(given) == 66


def test_a_port_on_which_somebody_listens_is_passed_over() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port + 3)):
        neighbours = free_ports(8)
        assert port + 3 not in range(neighbours, neighbours + 8)


def test_another_process_has_a_block_of_its_own() -> None:
    ours, command = free_port(), [sys.executable, "-c", _ANOTHER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as another:
        assert another.stdout is not None
        theirs = int(another.stdout.readline())
        another.communicate("\n")
    assert ours // 400 != theirs // 400
