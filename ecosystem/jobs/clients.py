"""The clients of the judge: some well-behaved, some that hang up in the middle of a request."""

import http.client
import random
import socket
import struct
import threading
import time

# A closed socket sends a reset, as that of a process that was killed with data unread does.
RESET = struct.pack("ii", 1, 0)


class Clients:
    """What they have sent, what was confirmed, and which answers were wrong."""

    def __init__(self, port, seed):
        self.port = port
        self.seed = seed
        self.sent = {}
        self.confirmed = set()
        self.wrong = []
        self.requests = 0
        # Requests that were sent before the service had to stop, and whose connection was cut.
        self.cut = 0
        self.stopping = float("inf")
        self.lock = threading.Lock()
        self.threads = []

    def reseed(self, seed):
        self.seed = seed

    def run(self, threads, client):
        self.threads = [
            threading.Thread(target=client, args=(name, random.Random(self.seed * 1000 + name)))
            for name in range(threads)]
        for thread in self.threads:
            thread.start()

    def finish(self):
        for thread in self.threads:
            thread.join()

    def calm(self, threads, jobs, prefix="calm"):
        """Submits small jobs and asks for them. The number of requests."""
        def client(name, rng):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            for job in range(jobs):
                key = f"{prefix}-{name}-{job}"
                self.submit(connection, key, [rng.randint(0, 2)])
                self.ask(connection, key)
            connection.close()

        self.run(threads, client)
        self.finish()
        return self.requests

    def load(self, threads):
        """Returns at once. They end when they are refused."""
        self.run(threads, self.client)

    def client(self, name, rng):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        mine = []
        for job in range(100_000):
            began = time.monotonic()
            try:
                self.act(connection, f"load-{self.seed}-{name}-{job}", mine, rng)
            except ConnectionRefusedError:
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                with self.lock:
                    self.cut += began < self.stopping
            time.sleep(rng.uniform(0.005, 0.02))
        connection.close()

    def act(self, connection, key, mine, rng):
        kind = rng.random()
        lines = [rng.randint(1, 15) for _ in range(rng.randint(1, 5))]
        if kind < 0.5:
            if rng.random() < 0.02:
                lines.append(1500)
            mine.append(key)
            self.submit(connection, key, lines)
        elif kind < 0.6 and mine:
            # Again, as after an answer that was lost.
            key = rng.choice(mine)
            self.submit(connection, key, self.sent[key])
        elif kind < 0.75 and mine:
            self.ask(connection, rng.choice(mine))
        elif kind < 0.88:
            self.sent[key] = lines
            self.hang_up(self.head("POST", f"/jobs/{key}", " ".join(map(str, lines))), rng)
        elif kind < 0.98:
            self.hang_up(self.head("GET", f"/report/{rng.randint(100, 8000)}", ""), rng)
        else:
            self.request(connection, "GET", f"/report/{rng.randint(1, 50)}")

    def request(self, connection, method, path, body=None):
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read().decode()
        with self.lock:
            self.requests += 1
        return answer.status, text

    def submit(self, connection, key, lines):
        self.sent[key] = lines
        status, _ = self.request(connection, "POST", f"/jobs/{key}", " ".join(map(str, lines)))
        if status in (200, 201):
            with self.lock:
                self.confirmed.add(key)
        elif status != 503:
            self.wrong.append((key, status))

    def ask(self, connection, key):
        confirmed = key in self.confirmed
        status, text = self.request(connection, "GET", f"/jobs/{key}")
        right = ("queued\n", "running\n", f"done {sum(self.sent[key])}\n")
        if status == 200 and text not in right or status == 404 and confirmed:
            self.wrong.append((key, status, text))

    def head(self, method, path, body):
        return f"{method} {path} HTTP/1.1\r\nHost: judge\r\nContent-Length: {len(body)}\r\n\r\n{body}"

    def hang_up(self, request, rng):
        """Sends all of a request or a part, and goes: with a reset, or by closing."""
        request = request.encode()
        whole = rng.random() < 0.7
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as stream:
            stream.sendall(request if whole else request[:rng.randrange(len(request))])
            time.sleep(rng.choice((0, 0.001, 0.003, 0.01, 0.2)))
            if rng.random() < 0.5:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
