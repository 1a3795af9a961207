"""What the kernel is asked about connections, held against a connection of our own."""

import socket

from tests.sockets import ESTABLISHED, LISTENS, Connection, connections


def ends_of(port: int) -> dict[str, Connection]:
    return {one.state: one for one in connections() if one.port == port}


def test_what_was_sent_is_unread_until_it_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        port = server.getsockname()[1]
        theirs, _ = server.accept()
        ours.sendall(b"hello")
        found = ends_of(port)
        assert (found[LISTENS].unread, found[ESTABLISHED].unread) == (0, 5)
        assert (found[ESTABLISHED].port, found[ESTABLISHED].peer_port) == (port, ours.getsockname()[1])
        with theirs:
            assert theirs.recv(100) == b"hello"
            assert ends_of(port)[ESTABLISHED].unread == 0
