#!/usr/bin/env python3
"""What mini_redis does with pipelines: redis_order.py PORT PID.

A subscriber gets the answers to what it has sent before messages. It subscribes at the end of a pipeline, while others
publish without a pause. And the answers to one pipeline are not all in memory at once.
"""

import socket
import sys
import threading

PORT, PID = map(int, sys.argv[1:])
ROUNDS = 500
KEYS, VALUE, GETS = 8, b"x" * (4 << 20), 120


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=20)
        self.answers = self.socket.makefile("rb")

    def send(self, *commands):
        self.socket.sendall(b"".join(b"%s\r\n" % command for command in commands))

    def answer(self):
        line = self.answers.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self.answers.read(int(rest) + 2)[:-2]
        return line.strip()

    def expect(self, expected):
        answer = self.answer()
        if answer != expected:
            sys.exit(f"FAILED  {str(answer)[:99]} instead of {str(expected)[:99]}")


def messages_after_the_answers():
    ended = threading.Event()

    def publish():
        publisher = Client()
        while not ended.is_set():
            publisher.send(b"PUBLISH hot x")
            publisher.answer()

    publishers = [threading.Thread(target=publish) for _ in range(2)]
    for publisher in publishers:
        publisher.start()
    try:
        for _ in range(ROUNDS):
            subscriber = Client()
            subscriber.send(b"GET none-1", b"GET none-2", b"GET none-3", b"SUBSCRIBE hot")
            for _ in range(3):
                subscriber.expect(None)
            subscriber.expect([b"subscribe", b"hot", b":1"])
            # A close of what was not read would be a reset, which the server reports.
            subscriber.socket.shutdown(socket.SHUT_WR)
            subscriber.answers.read()
    finally:
        ended.set()
        for publisher in publishers:
            publisher.join()


def the_most_memory():
    with open(f"/proc/{PID}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def answers_as_there_is_room():
    client = Client()
    for key in range(KEYS):
        client.send(b"SET big-%d %d%s" % (key, key, VALUE))
        client.expect(b"+OK")
    before = the_most_memory()
    client.send(*(b"GET big-%d" % (number % KEYS) for number in range(GETS)))
    for number in range(GETS):
        client.expect(b"%d%s" % (number % KEYS, VALUE))
    client.send(b"DEL " + b" ".join(b"big-%d" % key for key in range(KEYS)))
    client.expect(b":%d" % KEYS)
    more = the_most_memory() - before
    # An answer or two for each core, which are copied once.
    if more > 8 * len(VALUE):
        sys.exit(f"FAILED  {GETS} answers of {len(VALUE)} bytes took {more} bytes")


messages_after_the_answers()
answers_as_there_is_room()
