"""PostgreSQL and Redis for the judge, on the loopback, with ports and folders of their own."""

import glob
import os
import signal
import socket
import subprocess
import sys
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Postgres:
    def __init__(self, folder):
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.port = free_port()
        self.data = os.path.join(folder, "postgres")
        self.log = open(os.path.join(folder, "postgres.log"), "w")
        self.process = None
        # It refuses to run as root.
        self.user = {}
        os.mkdir(self.data, 0o700)
        if os.getuid() == 0:
            self.user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            subprocess.run(["chown", "postgres:", self.data], check=True)
        subprocess.run(
            [f"{self.bin}/initdb", "--username=curium", "--auth=trust", "--no-sync", "-D", self.data],
            stdout=self.log, stderr=self.log, cwd="/", check=True, **self.user)
        self.start()

    def start(self):
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        self.process = subprocess.Popen(
            [f"{self.bin}/postgres", "-D", self.data, "-p", str(self.port), "-F", *settings],
            stdout=self.log, stderr=self.log, cwd="/", **self.user)
        for _ in range(200):
            ready = [f"{self.bin}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(ready, cwd="/").returncode == 0:
                return
            time.sleep(0.05)
        sys.exit("PostgreSQL does not start")

    def stop(self, how):
        """SIGINT: it ends its connections. SIGQUIT: it is as if the machine had failed."""
        self.process.send_signal(how)
        self.process.wait()

    def signal_all(self, number):
        """Also to its children, each of which has a session of its own."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            for child in [pid, *map(int, children.read().split())]:
                try:
                    os.kill(child, number)
                except ProcessLookupError:
                    pass

    def freeze(self):
        self.signal_all(signal.SIGSTOP)

    def thaw(self):
        self.signal_all(signal.SIGCONT)

    def end(self):
        if self.process.poll() is None:
            self.thaw()
            self.stop(signal.SIGQUIT)

    def sql(self, query):
        psql = [f"{self.bin}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "curium", "-qAt"]
        return subprocess.run(
            [*psql, "-c", query, "postgres"], cwd="/", text=True, check=True, timeout=60,
            stdout=subprocess.PIPE, stderr=self.log).stdout

    def rows(self, query):
        return [line.split("|") for line in self.sql(query).splitlines()]

    def number(self, query):
        return int(self.sql(query))


class Redis:
    def __init__(self, folder):
        self.port = free_port()
        self.folder = folder
        self.log = open(os.path.join(folder, "redis.log"), "w")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
             "--appendonly", "no", "--dir", self.folder],
            stdout=self.log, stderr=self.log)
        for _ in range(100):
            if self.command("PING") == "PONG\n":
                return
            time.sleep(0.05)
        sys.exit("Redis does not start")

    def command(self, *words):
        return subprocess.run(
            ["redis-cli", "-p", str(self.port), *words], stdout=subprocess.PIPE,
            stderr=self.log, text=True).stdout

    def values(self, pattern):
        keys = self.command("--scan", "--pattern", pattern).split()
        return dict(zip(keys, self.command("MGET", *keys).split())) if keys else {}

    def end(self):
        self.process.terminate()
        self.process.wait()
