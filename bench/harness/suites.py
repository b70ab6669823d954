"""The measurements. Within a round everything runs one after the other, each alone; the order turns by one place each
round, so a drift of the machine hits all of them."""
import json
import os
import resource
import shutil
import subprocess
import time

from . import disk, large, lists, weight
from .machine import Failed, anonymous_mb, busy_seconds, into_page_cache, processor_seconds, wait_for_quiet
from .plan import CEILING, CEILING_ALONE, CONNECTIONS, DISK, IN_PROCESS, MANY, OWN, PGBENCH, asked_in, names
from .postgres import Postgres
from .prepare import MOST_COPIED
from .servers import (BARE, COSELL, GROUP_ONE, HOLDING, LOGGED, SMALLEST, MemoryWatch, Server, copy_of_data,
                      data_itself, kept_copy, started)

# A list that takes longer than this is asked for over few connections, and for longer.
SLOW_SECONDS = 0.1
LONGEST_SECONDS = 60
WARM_AT_ONCE = 10_000  # rows


class Runner:
    """Runs suites and keeps every raw result."""

    def __init__(self, work, targets, issuer, settings, sink):
        self.work, self.targets, self.issuer, self.settings, self.sink = work, targets, issuer, settings, sink
        self.results, self.failures, self.postgres = [], {}, None

    def keep(self, suite, rows, turn, name, what, measured):
        result = {"suite": suite, "rows": rows, "round": turn, "name": name, "what": what, **measured}
        self.results.append(result)
        self.sink.write(json.dumps(result) + "\n")
        self.sink.flush()

    def suite(self, suite, rows):
        single = {"read": self.read, "write": self.write, "start": self.start, "postgres": self.on_postgres,
                  "disk": self.disk, "large": self.large, "weight": self.weight}
        measure = single.get(suite) or (lambda rows, name: self.lists(suite, rows, name))
        wanted = [name for name in names(suite, rows, self.settings.quick) if name in self.targets or name in OWN]
        wanted = [name for name in wanted
                  if not self.settings.only or any(part in name for part in self.settings.only)]
        # What does not vary from round to round is found once.
        rounds = 1 if suite in ("disk", "weight") else self.settings.rounds
        for turn in range(rounds if wanted else 0):
            shift = turn % len(wanted)
            for name in wanted[shift:] + wanted[:shift]:
                print(f"bench: {suite}, {rows} rows, round {turn + 1} of {rounds}: {name}", flush=True)
                try:
                    for what, measured in measure(rows, name):
                        self.keep(suite, rows, turn, name, what, measured)
                except (Failed, OSError, subprocess.CalledProcessError) as error:
                    self.failures[f"{name} ({suite}, {rows} rows)"] = str(error)
                    print(f"bench: {error}", flush=True)
        self.close()

    def close(self):
        """Ends what a suite keeps over its rounds."""
        if self.postgres:
            self.postgres.stop()
            self.postgres = None
        shutil.rmtree(self.work.path / "kept", ignore_errors=True)

    def place(self, target, rows):
        """Where a server finds data that it only reads: larger tables are not copied."""
        return data_itself(self.work, target, rows) if rows > MOST_COPIED else None

    def read(self, rows, name):
        target = self.targets[name]
        with started(self.work, target, rows, self.settings.port, self.place(target, rows)) as server:
            ids = self.work.data(rows) / "dataset" / "ids.txt"
            wanted = ["--path", target.get, "--ids", ids, "--threads", target.loader_threads]
            self.fill_caches(server, rows, wanted)
            yield "GET", self.load(server, *wanted)

    def fill_caches(self, server, rows, wanted):
        """Of a large table it takes a while until the server's own cache is full, and its map of the file is."""
        if self.settings.smoke or rows <= WARM_AT_ONCE or server.target.name == BARE:
            return
        if server.target.name in (HOLDING, LOGGED):
            self.load(server, *wanted, "--once", "yes", seconds=LONGEST_SECONDS)
        else:
            self.load(server, *wanted, seconds=10 * self.settings.warm_up)
        wait_for_quiet()

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
                if one.what not in asked_in(suite, rows, name, self.settings.quick):
                    continue
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
            yield one.what, {**measured, "place": one.place, "connections": CONNECTIONS}

    def write(self, rows, name):
        if name in (CEILING, CEILING_ALONE, DISK):
            yield "ceiling", self.ceiling(name)
            return
        target = self.targets[name]
        dataset = self.work.data(target.rows or rows) / "dataset"
        kept = kept_copy(self.work, target, rows) if rows > MOST_COPIED else None
        with started(self.work, target, rows, self.settings.port, kept) as server:
            wanted = ["--path", target.get, "--ids", dataset / "open.ids", "--threads", target.loader_threads]
            named = ["--named", "yes"] if target.named else []
            put = [*wanted, "--method", "PUT", "--bodies", dataset / "open.jsonl"]
            for what, options, more in self.writes_of(target, rows, put, named, wanted):
                wait_for_quiet()
                yield what, self.load(server, *options, **more)

    def writes_of(self, target, rows, put, named, wanted):
        """The loads of a server: what, the loader's options, connections."""
        if target.put:
            yield "PUT", [*put, *named], {}
        if target.patch:
            yield "PATCH", [*wanted, "--method", "PATCH", "--body", target.patch, *named], {}
        if rows > SMALLEST or not target.put:
            return
        if target.name != GROUP_ONE and target.loader_threads > 1:
            yield "PUT, 256 clients", [*put, *named], {"connections": MANY}
        if target.name == COSELL:
            yield "PUT, one client", [*put, *named], {"connections": 1}
            if not self.settings.quick:
                yield "PUT without a request-id", put, {}
                yield "PUT of a text that is searched", [*put, *named, "--change", "externalReferenceId"], {}

    def ceiling(self, name):
        scratch = self.work.path / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        if name == DISK:
            what = ["--what", "fsync", "--directory", scratch]
        else:
            recorded = self.work.data(SMALLEST) / "writes"
            shutil.copyfile(recorded / "first.db", scratch / "rows.db")
            what = ["--what", "rows", "--group", "64" if name == CEILING else "1", "--table", scratch / "rows.db",
                    "--second", recorded / "second.db"]
        os.sync()
        wait_for_quiet()
        return self.in_process(*what)

    def in_process(self, *what):
        command = [self.work.programs / "ceiling", *what, "--seconds", str(self.settings.seconds)]
        before, own, began = busy_seconds(), children_seconds(), time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"ceiling: {done.stderr.strip()}")
        measured = json.loads(done.stdout)
        del measured["what"]
        own, wall = children_seconds() - own, time.monotonic() - began
        said = [line.removeprefix("ceiling: ") for line in done.stderr.splitlines() if line.startswith("ceiling: ")]
        return {**measured, "statuses": {}, "errors": 0, "said": said, "server_processors": own / wall,
                "foreign_processors": max(0.0, (busy_seconds() - before - own) / wall)}

    def on_postgres(self, _, name):
        if not self.postgres:
            self.postgres = Postgres(self.work, self.settings)
        self.postgres.settle()
        wait_for_quiet()
        if name == PGBENCH:
            yield "update", self.postgres.pgbench()
            return
        with self.postgres.cosell(self.issuer) as server:
            yield "PUT", self.load(server, *self.postgres.put(), also=self.postgres.pid)

    def disk(self, rows, name):
        yield "bytes", disk.measured(self.work, self.targets[name], rows)

    def large(self, rows, name):
        for what, measured in large.measured(self, self.targets[name], rows):
            yield what, measured

    def weight(self, _, name):
        yield "program", weight.measured(self.work.cosell)

    def start(self, rows, name):
        """Several starts on the same data; one before them is not counted: it makes what only a first start makes."""
        target = self.targets[name]
        data = self.place(target, rows) or copy_of_data(self.work, target, rows)
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

    def load(self, server, *options, warm_up=None, connections=CONNECTIONS, seconds=None, also=None):
        """A load on a server; `also` is a second process that works for it."""
        command = [self.work.programs / "loader", "--address", f"127.0.0.1:{server.port}", "--connections", connections,
                   "--seconds", seconds or self.settings.seconds, "--warm-up", warm_up or self.settings.warm_up,
                   "--wait", "yes", *options]
        if server.token:
            command += ["--token", server.token]
        pid = server.process.pid
        used = lambda: processor_seconds(pid) + (processor_seconds(also, ended=True) if also else 0)
        children = children_seconds()
        running = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        try:
            # Before it is ready it reads its files, and the tags of what it will write.
            running.stdout.readline()
            own, busy, began = used(), busy_seconds(), time.monotonic()
            loader = processor_seconds(running.pid)
            with MemoryWatch(pid) as memory:
                output, errors = running.communicate("\n")
        finally:
            running.kill()
            running.wait()
        wall = time.monotonic() - began
        if running.returncode:
            raise Failed(f"{server.target.name}: {errors.strip()}")
        own, loader = used() - own, children_seconds() - children - loader
        counted = json.loads(output)
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
