#!/usr/bin/env python3
"""A subscriber of mini_redis gets the answers to what it has sent before messages: redis_order.py PORT.

It subscribes at the end of a pipeline, while others publish without a pause.
"""

import socket
import sys
import threading

PORT = int(sys.argv[1])
ROUNDS = 500


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
            sys.exit(f"FAILED  {answer} instead of {expected}")


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


messages_after_the_answers()
