"""The servers under test: how each is started on a copy of its data, and what it is asked."""
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field

from . import lists
from .machine import Failed, anonymous_mb, into_page_cache, wait_for_quiet

BY_ID = "/v1.0/engagements/referrals/{id}"
LIST = "/v1.0/engagements/referrals"
ADMINISTRATOR = "admin@contoso.example"
OWNER = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d"
OBJECT_PATCH = '{"statusReason":"r{n}"}'
JSON_PATCH = '[{"op":"replace","path":"/details/dealValue","value":{n}}]'
START_LIMIT = 60
# The sandbox keeps the default of `[store] cache_bytes`, logs no requests and has no rate limiter.
COSELL = "Cosell, cache 16 MiB"
# Search and aggregation are of the extended temperament; all its lists are measured in it.
EXTENDED = "Cosell, extended"
# The same without answers that are kept for who asks for a list again: each list is read from the store.
ANEW = "Cosell, lists read anew"
# The same as the sandbox but for the cache, in which 100,000 rows fit, or for the size of a group.
HOLDING = "Cosell, cache 512 MiB"
GROUP_ONE = "Cosell, groups of one"
# The same as the sandbox; what the settings in its environment say holds for it.
SERVED = "Cosell serve, cache 16 MiB"
# As an operator runs it, with a line for every request, but without the rate limiter.
LOGGED = "Cosell, cache 512 MiB, with a log of requests"
HOLDING_BYTES = 512 * 1024 * 1024
BARE, WITH_SQLITE, WITH_ROWS = "bare hyper", "hyper and SQLite", "hyper and the same rows"
LISTS_SERVED = "hyper and SQLite, lists"
CAP, FASTAPI = "SAP CAP", "FastAPI"
SMALLEST = 1000  # rows of the table on which writes are measured


@dataclass
class Target:
    """A server. `command` and `env` may name {port} and {data}, its own copy of the data."""

    name: str
    command: list
    data: str = ""  # which data directory
    rows: int = 0  # of that directory, where it is the same for tables of all sizes
    env: dict = field(default_factory=dict)
    cwd: str = None
    get: str = BY_ID
    list: object = None  # given a list that is asked for, answers its path
    links: bool = True  # its pages name the next one
    patch: str = ""
    put: bool = False
    named: bool = False  # takes a `request-id`, and remembers the answer under it
    token: object = None  # given the running server, answers a bearer token
    loader_threads: int = 1


def targets(work, issuer):
    limits = str(work.programs / "limits")
    cosell = str(work.cosell)
    peers = work.path / "peers"
    capitals = BY_ID.replace("referrals", "Referrals")
    answers = str(work.data(SMALLEST) / "answers" / "table.db")

    def sandbox(name, *options, **more):
        command = [cosell, "sandbox", *options, "--data", "{data}", "--listen", "127.0.0.1:{port}"]
        return Target(name, command, data="sandbox", loader_threads=2, named=True,
                      token=lambda server: sandbox_token(cosell, server.port), **more)

    def serve(name, *options, **more):
        command = [cosell, "serve", "--config", str(work.configuration), *options, "--data", "{data}",
                   "--listen", "127.0.0.1:{port}"]
        return Target(name, command, data="serve", loader_threads=2, named=True, token=lambda _: issuer.token(), **more)

    holding = {"COSELL_STORE_CACHE_BYTES": str(HOLDING_BYTES)}
    every = [
        Target(BARE, [limits, "--port", "{port}", "--serve", "typical", "--table", "{data}/table.db"], data="answers",
               rows=SMALLEST, loader_threads=2),
        Target(WITH_SQLITE, [limits, "--port", "{port}", "--serve", "table", "--table", "{data}/table.db"],
               data="answers", loader_threads=2),
        Target(LISTS_SERVED, [limits, "--port", "{port}", "--serve", "lists", "--table", "{data}/lists.db"],
               data="lists", get=LIST + "?first", list=lambda one: f"{LIST}?{lists.limit(one)}", links=False,
               loader_threads=2),
        Target(WITH_ROWS, [limits, "--port", "{port}", "--serve", "rows", "--table", answers, "--first",
                           "{data}/first.db", "--second", "{data}/second.db"],
               data="writes", rows=SMALLEST, put=True, loader_threads=2),
        sandbox(COSELL, put=True, patch=JSON_PATCH),
        sandbox(EXTENDED, "--extended", list=lists.odata(LIST, page_size="pagesize=50")),
        serve(ANEW, "--extended", "--log-requests", "off", env={"COSELL_STORE_LIST_CACHE_BYTES": "0"},
              list=lists.odata(LIST, page_size="pagesize=50")),
        serve(SERVED, "--strict", "--log-requests", "off"),
        serve(HOLDING, "--strict", "--log-requests", "off", env=holding),
        serve(LOGGED, "--strict", "--log-requests", "on", env=holding),
        serve(GROUP_ONE, "--strict", "--log-requests", "off", env={"COSELL_STORE_GROUP_LIMIT": "1"}, put=True),
        Target(CAP, [work.node, "node_modules/.bin/cds-serve", "all"], data="cap", cwd=str(peers / "cap"),
               env={"PORT": "{port}", "NODE_ENV": "production",
                    "cds_requires_db_credentials_url": "{data}/referrals.db"},
               get=capitals, list=lists.odata(LIST.replace("referrals", "Referrals")), patch=OBJECT_PATCH),
        Target(FASTAPI, ["venv/bin/uvicorn", "app:app", "--port", "{port}", "--workers", "2", "--no-access-log",
                         "--log-level", "warning"], data="fastapi", cwd=str(peers / "fastapi"),
               env={"REFERRALS_DB": "{data}/referrals.db"}, list=lists.parameters(LIST), put=True,
               patch=OBJECT_PATCH),
    ]
    return {target.name: target for target in every if target.data not in work.missing}


def sandbox_token(cosell, port):
    command = [cosell, "token", "--user", ADMINISTRATOR, "--server", f"http://127.0.0.1:{port}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server on its own copy of the data; `with` stops it."""

    def __init__(self, work, target, rows, port, data=None, ids=None):
        self.target, self.port = target, port
        self.data = data or copy_of_data(work, target, rows)
        self.log = open(work.path / "servers.log", "ab")
        self.path = target.get.replace("{id}", work.first_id(rows, ids))
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [self.fill(word) for word in target.command], cwd=target.cwd, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, env={**os.environ, **{name: self.fill(value) for name, value in target.env.items()}},
            start_new_session=True)
        self.token = None

    def fill(self, text):
        return text.replace("{port}", str(self.port)).replace("{data}", self.data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def ask(self, token):
        """One GET over a new connection. The status, or nothing where nobody answers."""
        head = f"GET {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nconnection: close\r\n"
        head += f"authorization: Bearer {token}\r\n\r\n" if token else "\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=START_LIMIT) as connection:
                connection.sendall(head.encode())
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
        except OSError:
            return None
        return int(answer[9:12]) if len(answer) > 12 else None

    def wait(self, token=None, statuses=(200, 401)):
        """Milliseconds from the start of the process to the first whole answer with one of the statuses."""
        while (status := self.ask(token)) not in statuses:
            if self.process.poll() is not None or time.monotonic() - self.began > START_LIMIT:
                raise Failed(f"{self.target.name} did not start (last status: {status}); see servers.log")
            time.sleep(0.0005)
        return (time.monotonic() - self.began) * 1000

    def authorize(self):
        """Takes a token where the server wants one."""
        if self.target.token:
            self.token = self.target.token(self)
        return self.token

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


def copy_of_data(work, target, rows):
    """Each run begins from the same state, which is on the disk before it begins."""
    scratch = work.path / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(work.data(target.rows or rows) / target.data, scratch)
    os.sync()
    return str(scratch)


def kept_copy(work, target, rows):
    """For writes to tables that are too large to copy in each round: one copy for all of them, in the page cache."""
    kept = work.path / "kept" / f"{target.data}-{rows}"
    if not kept.exists():
        shutil.copytree(work.data(rows) / target.data, kept)
        os.sync()
    into_page_cache(kept)
    return str(kept)


def data_itself(work, target, rows):
    """For reads of tables that are too large to copy each time: the data, in the page cache."""
    data = work.data(target.rows or rows) / target.data
    into_page_cache(data)
    return str(data)


class MemoryWatch:
    """Samples anonymous memory while a load runs; `most` is the highest, in MB."""

    def __init__(self, pid):
        self.pid, self.most, self.end = pid, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.end.is_set():
            self.most = max(self.most, anonymous_mb(self.pid))
            self.end.wait(0.2)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


def started(work, target, rows, port, data=None, ids=None):
    """A server that answers, with a token in hand, on a quiet machine."""
    server = Server(work, target, rows, port, data, ids)
    try:
        server.wait()
        server.authorize()
    except BaseException:
        server.stop()
        raise
    wait_for_quiet()
    return server
