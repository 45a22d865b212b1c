#!/usr/bin/env python3
"""Clients that misbehave, against a server of HTTP: bad_clients.py HOST PORT PID.

Silent, slow, half-open, aborting and babbling ones over HTTP/1, and rapid resets over HTTP/2, all
at once. The server must end each of their connections, keep none of their descriptors, and answer
the next client. It drops a client that is slow after five seconds (`/` answers at once, `/slow`
after a second).
"""

import os
import socket
import struct
import sys
import threading
import time

HOST, PORT, PID = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
GET = b"GET /slow HTTP/1.1\r\nhost: here\r\n\r\n"


def connect():
    stream = socket.create_connection((HOST, PORT), timeout=30)
    return stream


def ended(stream):
    """Reads until the server has ended the connection, and gives what it has sent."""
    received = b""
    try:
        while more := stream.recv(65536):
            received += more
    except ConnectionError:
        pass
    return received


def slow():
    """The head of a request, byte by byte."""
    stream = connect()
    try:
        for byte in GET * 100:
            stream.send(bytes([byte]))
            time.sleep(0.3)
            if byte == GET[-1] and stream.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b"":
                break
    except BlockingIOError:
        raise AssertionError("a slow client was served for ever")
    except ConnectionError:
        pass


def stops_in_the_head():
    stream = connect()
    stream.sendall(GET[:20])
    assert ended(stream) == b""


def half_open():
    """It has sent its request and its end, and still reads."""
    stream = connect()
    stream.sendall(GET)
    stream.shutdown(socket.SHUT_WR)
    ended(stream)


def aborts(sent):
    def client():
        for _ in range(20):
            stream = connect()
            stream.sendall(sent)
            linger = struct.pack("ii", 1, 0)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            stream.close()

    return client


def babbles():
    stream = connect()
    try:
        stream.sendall(os.urandom(100_000))
    except ConnectionError:
        pass
    ended(stream)


def large_head():
    stream = connect()
    try:
        stream.sendall(b"GET / HTTP/1.1\r\nlarge: " + b"x" * 1_000_000)
    except ConnectionError:
        return
    assert b"431" in ended(stream)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def rapid_reset():
    """Requests over HTTP/2 that are reset as soon as they are made."""
    stream = connect()
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    # GET, http, /slow, here.
    head = b"\x82\x86\x04\x05/slow\x41\x04here"
    try:
        for number in range(5000):
            of = 2 * number + 1
            stream.sendall(frame(1, 5, of, head) + frame(3, 0, of, struct.pack(">I", 8)))
    except ConnectionError:
        pass
    assert ended(stream).find(b"\x07\x00") > 0, "no GOAWAY"


def stops_in_http2():
    """It leaves with streams that are open."""
    stream = connect()
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    head = b"\x82\x86\x04\x05/slow\x41\x04here"
    for number in range(50):
        stream.sendall(frame(1, 5, 2 * number + 1, head))
    time.sleep(0.2)
    stream.close()


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def main():
    kinds = [slow, stops_in_the_head, half_open, aborts(GET), aborts(GET[:20]), aborts(b"")]
    kinds += [babbles, large_head, rapid_reset, stops_in_http2]
    before = descriptors()
    failed = []

    def run(kind):
        try:
            kind()
        except Exception as error:  # whatever it is, it is a failure
            failed.append(f"{kind.__name__}: {error!r}")

    threads = [threading.Thread(target=run, args=(kind,)) for kind in kinds * 4]
    for thread in threads:
        thread.start()
    # Beside them others are served.
    for _ in range(10):
        stream = connect()
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if not ended(stream).endswith(b"Hello, world!\n"):
            failed.append("a client beside them was not served")
        stream.close()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    for _ in range(100):
        if descriptors() <= before:
            break
        time.sleep(0.1)
    else:
        failed.append(f"{descriptors() - before} descriptors are left")
    print("\n".join(failed), file=sys.stderr)
    return 1 if failed else 0


sys.exit(main())
