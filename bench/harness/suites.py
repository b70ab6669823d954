"""The measurements. Within a round everything runs one after the other, each alone; the order turns by one place each
round, so a drift of the machine hits all of them."""
import json
import os
import resource
import subprocess
import time

from . import lists
from .machine import Failed, anonymous_mb, busy_seconds, into_page_cache, processor_seconds, wait_for_quiet
from .servers import COSELL, EXTENDED, SERVE, MemoryWatch, Server, copy_of_data, data_itself, started

CEILING = "group commit, in process"
DISK = "fsync"
IN_PROCESS = "SQLite, in process"
CONNECTIONS = 64
# A list that takes longer than this is asked for over few connections, and for longer.
SLOW_SECONDS = 0.1
LONGEST_SECONDS = 60


class Runner:
    """Runs suites and keeps every raw result."""

    def __init__(self, work, targets, settings, sink):
        self.work, self.targets, self.settings, self.sink = work, targets, settings, sink
        self.results, self.failures = [], {}

    def keep(self, suite, rows, turn, name, what, measured):
        result = {"suite": suite, "rows": rows, "round": turn, "name": name, "what": what, **measured}
        self.results.append(result)
        self.sink.write(json.dumps(result) + "\n")
        self.sink.flush()

    def suite(self, suite, rows):
        single = {"read": self.read, "write": self.write, "start": self.start}
        measure = single.get(suite) or (lambda rows, name: self.lists(suite, rows, name))
        names = self.names(suite)
        for turn in range(self.settings.rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                print(f"bench: {suite}, {rows} rows, round {turn + 1} of {self.settings.rounds}: {name}", flush=True)
                try:
                    for what, measured in measure(rows, name):
                        self.keep(suite, rows, turn, name, what, measured)
                except (Failed, subprocess.CalledProcessError) as error:
                    self.failures[f"{name} ({suite}, {rows} rows)"] = str(error)
                    print(f"bench: {error}", flush=True)

    def names(self, suite):
        wanted = {
            "read": ["bare hyper", "hyper and SQLite", COSELL, SERVE, "SAP CAP", "FastAPI"],
            "write": [CEILING, DISK, "hyper and group commit", COSELL, "SAP CAP", "FastAPI"],
            "start": ["hyper and SQLite", COSELL, "SAP CAP", "FastAPI"],
        }.get(suite, [IN_PROCESS, "hyper and SQLite, lists", EXTENDED, "SAP CAP", "FastAPI"])
        return [name for name in wanted if name in self.targets or name in (CEILING, DISK, IN_PROCESS)]

    def read(self, rows, name):
        target = self.targets[name]
        with started(self.work, target, rows, self.settings.port) as server:
            ids = self.work.data(rows) / "dataset" / "ids.txt"
            # Larger tables take longer to fill a cache from.
            warm_up = self.settings.warm_up * (6 if rows > 10_000 else 1)
            yield "GET", self.load(server, "--path", target.get, "--ids", ids, "--threads", target.loader_threads,
                                   warm_up=warm_up)

    def lists(self, suite, rows, name):
        """Nothing is written, so the data are not copied."""
        asked = lists.asked(self.work, suite, rows)
        if name == IN_PROCESS:
            yield from self.lists_in_process(asked, rows)
            return
        target = self.targets[name]
        data = data_itself(self.work, target, rows)
        with started(self.work, target, rows, self.settings.port, data) as server:
            for one in asked:
                # A reader for each: some servers close a connection that was idle during a load.
                path, seconds = lists.Reader(server).prepared(one, target.list(one))
                wait_for_quiet()
                measured = self.load(server, "--path", path, "--threads", target.loader_threads,
                                     **self.effort(seconds))
                yield one.what, {"place": one.place, **measured}

    def effort(self, seconds):
        """How a list that takes so long is asked for."""
        if seconds < SLOW_SECONDS:
            return {}
        connections = os.cpu_count()
        needed = min(LONGEST_SECONDS, 3 * connections * seconds)
        return {"connections": connections, "seconds": max(self.settings.seconds, 0 if self.settings.smoke else needed)}

    def lists_in_process(self, asked, rows):
        directory = self.work.data(rows) / "lists"
        into_page_cache(directory)
        for one in asked:
            wait_for_quiet()
            what = ["--what", "list", "--table", directory / "lists.db", "--list", lists.limit(one)]
            measured = self.in_process(*what)
            yield one.what, {**measured, "place": one.place, "per_processor_second": measured["per_second"],
                             "connections": CONNECTIONS, "statuses": {}, "errors": 0,
                             "foreign_processors": max(0.0, measured["busy_processors"] - 1)}

    def write(self, rows, name):
        if name in (CEILING, DISK):
            yield "ceiling", self.ceiling(name)
            return
        target = self.targets[name]
        dataset = self.work.data(rows) / "dataset"
        with started(self.work, target, rows, self.settings.port) as server:
            wanted = ["--path", target.get, "--ids", dataset / "open.ids"]
            if target.put:
                yield "PUT", self.load(server, *wanted, "--method", "PUT", "--bodies", dataset / "open.jsonl")
                wait_for_quiet()
            if target.patch:
                yield "PATCH", self.load(server, *wanted, "--method", "PATCH", "--body", target.patch)

    def ceiling(self, name):
        scratch = self.work.path / "scratch"
        scratch.mkdir(exist_ok=True)
        wait_for_quiet()
        what = ["--what", "fsync"] if name == DISK else ["--what", "group", "--group", "64", "--rows", "1000"]
        return self.in_process(*what, "--directory", scratch)

    def in_process(self, *what):
        command = [self.work.programs / "ceiling", *what, "--seconds", str(self.settings.seconds)]
        before, began = busy_seconds(), time.monotonic()
        measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        del measured["what"]
        measured["busy_processors"] = (busy_seconds() - before) / (time.monotonic() - began)
        return measured

    def start(self, rows, name):
        """Several starts on the same data; one before them is not counted: it makes what only a first start makes."""
        target = self.targets[name]
        data = copy_of_data(self.work, target, rows)
        with Server(self.work, target, rows, self.settings.port, data) as server:
            server.wait()
            token = server.authorize()
            server.wait(token, (200,))
        for _ in range(self.settings.starts):
            wait_for_quiet()
            with Server(self.work, target, rows, self.settings.port, data) as server:
                measured = {"first_answer_ms": server.wait(token, (200,))}
                time.sleep(1)
                measured["idle_mb"] = anonymous_mb(server.process.pid)
            yield "start", measured

    def load(self, server, *options, warm_up=None, connections=CONNECTIONS, seconds=None):
        command = [self.work.programs / "loader", "--address", f"127.0.0.1:{server.port}", "--connections", connections,
                   "--seconds", seconds or self.settings.seconds, "--warm-up", warm_up or self.settings.warm_up,
                   *options]
        if server.token:
            command += ["--token", server.token]
        pid = server.process.pid
        own, busy, began = processor_seconds(pid), busy_seconds(), time.monotonic()
        loader = children_seconds()
        with MemoryWatch(pid) as memory:
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        wall = time.monotonic() - began
        if done.returncode:
            raise Failed(f"{server.target.name}: {done.stderr.strip()}")
        own, loader = processor_seconds(pid) - own, children_seconds() - loader
        counted = json.loads(done.stdout)
        return {
            **counted,
            "connections": connections,
            "per_processor_second": counted["completed"] / max(own, 0.001),
            "server_processors": own / wall,
            "loader_processors": loader / wall,
            "foreign_processors": max(0.0, (busy_seconds() - busy - own - loader) / wall),
            "load_mb": memory.most,
        }


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
