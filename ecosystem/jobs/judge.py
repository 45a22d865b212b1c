#!/usr/bin/env python3
"""The judge of the service of jobs: judge.py BINARY [--seeds N] [--first N] [--runtimes a,b] [--must a,b].

A runtime is curium, tokio, or curium/2 for Curium on two cores.

For each seed and runtime it starts the service, measures the CPU of calm requests, and then loads it with
clients of which some hang up in the middle. Before that Redis is stopped and started again. Meanwhile
PostgreSQL is stopped, killed or frozen for a while, and the service gets a SIGTERM under load. Then the
judge reads the database, not the log of the service: what it has left there at once, and, after a second
start in peace, whether each job that was confirmed has been done once. It starts its own PostgreSQL and Redis on the loopback, and stops them. The exit code is 1
if a runtime of --must has a fault.
"""

import argparse
import collections
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from servers import Postgres, Redis
from clients import Clients

# Drain and grace of the service, and a second.
DOWN_WITHIN = 5.0
TICKS = os.sysconf("SC_CLK_TCK")
COLUMNS = (
    "lost", "twice", "half", "wrong", "connections", "late", "exit", "cold", "stranded", "cut", "stop", "cpu")
FAULTS = COLUMNS[:8]


class Service:
    """The program, from its start to its end."""

    def __init__(self, binary, runtime, postgres, redis, folder, log):
        addresses = ["127.0.0.1:0", f"127.0.0.1:{postgres.port}", f"127.0.0.1:{redis.port}"]
        kind, _, cores = runtime.partition("/")
        arguments = [kind, *addresses, *(["--cores", cores] if cores else [])]
        self.process = subprocess.Popen(
            [binary, *arguments], stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, "CURIUM_MONITOR": "unix", "XDG_RUNTIME_DIR": folder})
        self.monitor = os.path.join(folder, "curium", f"{self.process.pid}.sock")
        line = self.process.stdout.readline()
        if "listening on" not in line:
            sys.exit(f"{runtime} does not start: {line}")
        self.port = int(line.rsplit(":", 1)[1])

    def cpu(self):
        """The seconds of CPU that it has used."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        """The seconds from SIGTERM to its end, and its exit code."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.explain()
            self.process.kill()
            self.process.wait()
            code = -9
        return time.monotonic() - begin, code


    def explain(self):
        """Prints what a service that does not end waits for. Only that on Curium has a monitor."""
        if os.path.exists(self.monitor):
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.connect(self.monitor)
                monitor.sendall(b"tree\nquit\n")
                monitor.settimeout(3)
                try:
                    while text := monitor.recv(65536):
                        print(text.decode(), end="", flush=True)
                except TimeoutError:
                    print()


def calm(service, postgres):
    """The microseconds of CPU of a request, the work of its job included."""
    before = service.cpu()
    clients = Clients(service.port, seed=0)
    requests = clients.calm(threads=4, jobs=150)
    until_done(postgres)
    return (service.cpu() - before) * 1e6 / requests, clients


def without_redis(clients, postgres, redis):
    """Stops Redis for a while. The service must answer without it, and use it again: else 1."""
    redis.end()
    clients.calm(threads=2, jobs=10, prefix="without")
    until_done(postgres)
    redis.start()
    for number in range(25):
        clients.calm(threads=1, jobs=1, prefix=f"again-{number}")
        until_done(postgres)
        time.sleep(0.1)
        if redis.values("job:again-*"):
            return 0
    return 1


def until_done(postgres):
    deadline = time.monotonic() + 60
    while postgres.number("SELECT COUNT(*) FROM jobs WHERE state <> 'done'") > 0:
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)


def disturb(postgres, rng):
    """Takes PostgreSQL away for a while, in the way of the seed. Returns at once."""
    way = rng.choice(("stop", "kill", "freeze", "nothing"))
    after, length = rng.uniform(0.2, 1.5), rng.uniform(0.3, 2.5)

    def run():
        time.sleep(after)
        if way == "freeze":
            postgres.freeze()
            time.sleep(length)
            postgres.thaw()
        elif way != "nothing":
            postgres.stop(signal.SIGINT if way == "stop" else signal.SIGQUIT)
            time.sleep(length)
            postgres.start()

    thread = threading.Thread(target=run)
    thread.start()
    return way, thread


def left(postgres):
    """The connections of the service that are left half a second after its end."""
    for _ in range(6):
        count = postgres.number(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'curium-jobs'")
        if count == 0:
            break
        time.sleep(0.1)
    return count


def read(postgres, redis, clients):
    """What the database says in the end."""
    rows = postgres.rows(
        "SELECT key, state, lines, (SELECT COUNT(*) FROM lines WHERE job = id),"
        " (SELECT COALESCE(SUM(value), 0) FROM lines WHERE job = id),"
        " (SELECT COUNT(*) FROM results WHERE job = id),"
        " (SELECT MAX(sum) FROM results WHERE job = id) FROM jobs")
    found = collections.Counter(lost=0, twice=0, half=0, wrong=len(clients.wrong))
    jobs = {}
    for key, state, lines, written, total, results, result in rows:
        jobs[key] = result
        found["half"] += lines != written or (state == "done") != (int(results) > 0)
        found["twice"] += int(results) > 1
        expected = sum(clients.sent[key]) if key in clients.sent else 0
        found["wrong"] += state == "done" and not int(result) == int(total) == expected
        found["lost"] += key in clients.confirmed and state != "done"
    found["lost"] += len(clients.confirmed - jobs.keys())
    for key, value in redis.values("job:*").items():
        found["wrong"] += jobs.get(key[len("job:"):]) != value
    found["jobs"] = len(jobs)
    return found


def judge(binary, runtime, seed, postgres, redis, folder, log):
    """One run: its figures by column."""
    rng = random.Random(seed)
    postgres.sql("DROP TABLE IF EXISTS jobs, lines, results CASCADE")
    redis.command("FLUSHALL")
    service = Service(binary, runtime, postgres, redis, folder, log)
    cpu, clients = calm(service, postgres)
    cold = without_redis(clients, postgres, redis)
    clients.reseed(seed)
    way, disturbance = disturb(postgres, rng)
    clients.load(threads=6)
    time.sleep(rng.uniform(0.8, 2.8))
    clients.stopping = time.monotonic()
    seconds, code = service.stop()
    clients.finish()
    disturbance.join()
    connections = left(postgres)
    stranded = postgres.number("SELECT COUNT(*) FROM jobs WHERE state = 'running'")
    service = Service(binary, runtime, postgres, redis, folder, log)
    until_done(postgres)
    idle_seconds, idle_code = service.stop()
    found = read(postgres, redis, clients)
    found.update(
        connections=connections, cold=cold, late=(seconds > DOWN_WITHIN) + (idle_seconds > 1),
        exit=(code != 0) + (idle_code != 0), stranded=stranded, cut=clients.cut,
        stop=seconds, cpu=cpu, requests=clients.requests)
    figures = "  ".join(f"{name} {number(found[name])}" for name in COLUMNS)
    print(f"{runtime:8}  seed {seed:2}  {way:7}  jobs {found['jobs']:4}  {figures}", flush=True)
    return found


def number(value):
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def table(runtime, runs):
    """The row of a runtime: sums, and of the seconds and the CPU the median and the greatest."""
    sums = [str(sum(run[name] for run in runs)) for name in COLUMNS[:10]]
    jobs = sum(run["jobs"] for run in runs)
    requests = sum(run["requests"] for run in runs)
    stop = sorted(run["stop"] for run in runs)
    cpu = sorted(run["cpu"] for run in runs)
    middle = len(runs) // 2
    times = [f"{stop[middle]:.2f}, {stop[-1]:.2f}", f"{cpu[middle]:.0f}"]
    return "| " + " | ".join([runtime, str(jobs), str(requests), *sums, *times]) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--runtimes", default="curium,tokio")
    parser.add_argument("--must", default="curium")
    arguments = parser.parse_args()
    runtimes = arguments.runtimes.split(",")
    runs = {runtime: [] for runtime in runtimes}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        postgres, redis = Postgres(folder), Redis(folder)
        try:
            with open(os.path.join(folder, "log"), "w+") as log:
                for seed in range(arguments.first, arguments.first + arguments.seeds):
                    for runtime in runtimes:
                        runs[runtime].append(
                            judge(arguments.binary, runtime, seed, postgres, redis, folder, log))
        finally:
            postgres.end()
            redis.end()
    print("| runtime | jobs | requests | " + " | ".join(COLUMNS) + " |")
    for runtime in runtimes:
        print(table(runtime, runs[runtime]))
    must = [run for runtime in arguments.must.split(",") for run in runs.get(runtime, [])]
    sys.exit(any(run[fault] for run in must for fault in FAULTS))


if __name__ == "__main__":
    main()
