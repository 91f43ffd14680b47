"""Notices and refuses what a task's code would fetch while it is looked at."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NetworkTriedError(ConnectionError):
    """Something asked for the network where it is forbidden."""


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Raise :class:`NetworkTriedError` where anything in this process opens a connection, and note that it did.

    >>> with no_network() as tried:
    ...     try:
    ...         socket.create_connection(("localhost", 9))
    ...     except NetworkTriedError:
    ...         print(tried)
    ['localhost']
    """
    tried: list[str] = []

    def refuse(where: object, *address: Any, **_: object) -> Any:
        tried.append(str(address[0] if isinstance(where, socket.socket) and address else where))
        raise NetworkTriedError(f"the network was asked for: {tried[-1]}")

    connect, lookup = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse  # type: ignore[assignment]
    try:
        yield tried
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.getaddrinfo = lookup
