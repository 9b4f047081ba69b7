"""What idle keep-alive connections cost in memory."""

import socket
import time

from cases import CASES
from programs import Trouble

SILENCE_SECONDS = 2
PER_ADDRESS = 5000  # connections from one loopback address: well within its ports


def measure(program, count):
    """Anonymous KiB before and while `count` connections are idle; each has had one request answered."""
    case = CASES["asset"]
    head = [f"GET {case.target} HTTP/1.1", *(f"{name}: {value}" for name, value in case.headers(None).items())]
    request = ("\r\n".join(head) + "\r\n\r\n").encode()
    before = program.memory()["RssAnon"]
    connections = []
    try:
        for number in range(count):
            source = (f"127.0.0.{2 + number // PER_ADDRESS}", 0)
            connections.append(socket.create_connection(("127.0.0.1", program.port), 10, source))
            exchange(connections[-1], request, program.name)
        time.sleep(SILENCE_SECONDS)
        idle = program.memory()["RssAnon"]
        closed = sum(map(is_closed, connections))
    except OSError as error:
        raise Trouble(f"{program.name}: connection {len(connections)} of {count}: {error}") from None
    finally:
        for connection in connections:
            connection.close()
    if closed:
        raise Trouble(f"{program.name} closed {closed} of {count} idle connections")
    return {"connections": count, "before_kib": before, "idle_kib": idle}


def exchange(connection, request, name):
    """Sends the request and reads all of its answer."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += received(connection, name)
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
    if b" 200 " not in lines[0] or length is None:
        raise Trouble(f"{name} answered an idle connection's request with {lines[0].decode()}")
    while len(body) < length:
        body += received(connection, name)


def received(connection, name):
    data = connection.recv(65536)
    if not data:
        raise Trouble(f"{name} closed a connection before it answered")
    return data


def is_closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def table(figures, titles):
    lines = ["", "Anonymous memory, MiB: without connections, and with idle ones"]
    for name, found in figures.items():
        lines.append(
            f"{titles[name]:<22}{found['before_kib'] / 1024:8.1f}{found['idle_kib'] / 1024:8.1f}"
            f"  ({found['connections']} connections)"
        )
    return "\n".join(lines)
