"""Is the suite really offline? The refusal is tried here and in a child; loopback works."""

import os
import socket
import subprocess
import sys

import pytest

ELSEWHERE = ("192.0.2.1", 80)  # TEST-NET-1: belongs to nobody


def test_the_network_is_refused_here():
    with socket.socket() as sock, pytest.raises(RuntimeError, match=r"192\.0\.2\.1.*offline"):
        sock.connect(ELSEWHERE)
    with pytest.raises(RuntimeError, match=r"hub\.invalid.*offline"):
        socket.getaddrinfo("hub.invalid", 443)
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(RuntimeError, match="offline"),
    ):
        sock.sendto(b"?", ELSEWHERE)


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address, timeout=5) as client, server.accept()[0] as accepted:
            client.sendall(b"hello")
            assert accepted.recv(5) == b"hello"


def test_the_network_is_refused_in_a_child():
    code = f"import socket; socket.socket().connect({ELSEWHERE!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "RuntimeError: socket.connect" in done.stderr


def test_the_hub_is_told_too():
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
