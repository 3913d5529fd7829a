"""Does anything reach for the network? A Python that finds this file at start-up refuses to.

Loopback and Unix sockets stay open: a notebook's kernel talks over them. An audit hook sees every
Python socket, however it was imported, and cannot be taken out; sockets of native code pass it by.
"""

import ipaddress
import socket
import sys

_EVENTS = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
}
_OWN_NAMES = {None, "", "localhost", socket.gethostname()}


def _is_local(address) -> bool:
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in _OWN_NAMES or host.startswith(("/", "\0")):  # the latter two: Unix sockets
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:  # a host name
        return False


def _refuse(event: str, args: tuple) -> None:
    if event not in _EVENTS:
        return
    address = args[_EVENTS[event]]
    if not (event == "socket.sendmsg" and address is None) and not _is_local(address):
        # No OSError: libraries catch those and quietly fall back, and the attempt would go unseen.
        raise RuntimeError(f"{event} to {address!r}: the tests run offline; ship the data in data/")


sys.addaudithook(_refuse)
