"""A PostgreSQL server of its own, Cosell on it, and `pgbench` on it."""
import http.client
import json
import os
import pwd
import re
import resource
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .machine import Failed, busy_seconds, processor_seconds
from .plan import CONNECTIONS
from .recording import call, members
from .servers import ADMINISTRATOR, BY_ID, LIST, OWNER, SMALLEST, Target, free_port, started

SETTINGS = {"shared_buffers": "512MB", "max_connections": "200"}  # everything else is PostgreSQL's default
REFERRALS = 2000
PGBENCH_ROWS = 10_000
POSTING = 16  # connections
DATABASE = "cosell"
UPDATE = f"""\\set n random(1, {PGBENCH_ROWS})
UPDATE referral SET etag = gen_random_uuid(), doc = jsonb_set(doc, '{{statusReason}}', to_jsonb('r' || :n))
  WHERE n = :n;
"""
TABLE = """CREATE TABLE referral (
  n serial PRIMARY KEY, etag uuid NOT NULL DEFAULT gen_random_uuid(), status text, direction text, created text,
  doc jsonb NOT NULL);
CREATE TEMP TABLE given (d jsonb);
\\copy given from '{file}'
INSERT INTO referral (status, direction, created, doc)
  SELECT d->>'status', d->>'direction', d->>'createdDateTime', d FROM given;
CREATE INDEX ON referral (status, direction, created DESC);
VACUUM ANALYZE referral;
"""
TAKEN_AWAY = ["@odata.context", "links", "eTag"]  # from an answer, to make the body of a PUT of it


class Postgres:
    """Runs until `stop`; its data are made anew. As root it runs as another user, since PostgreSQL wants that."""

    def __init__(self, work, settings):
        self.work, self.settings, self.port = work, settings, free_port()
        self.programs = programs()
        self.directory = work.path / "postgres"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.as_user = []
        if os.getuid() == 0:
            user = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
            os.chown(self.directory, pwd.getpwnam(user).pw_uid, -1)
            self.as_user = ["runuser", "-u", user, "--"]
        self.data = self.directory / "data"
        self.own("initdb", "-D", self.data, "-U", "bench", "-A", "trust", "--no-instructions")
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        options += f" -p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1"
        self.own("pg_ctl", "-D", self.data, "-s", "-w", "-l", self.directory / "log", "-o", options, "start")
        self.pid = int((self.data / "postmaster.pid").read_text().split()[0])
        self.target = None
        try:
            self.fill()
        except BaseException:
            self.stop()
            raise

    def own(self, program, *words):
        """Runs a program of PostgreSQL as the user it belongs to."""
        command = [*self.as_user, self.programs / program, *words]
        # No pipes: the server that pg_ctl starts would keep them open.
        with open(self.work.path / "servers.log", "ab") as log:
            done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  cwd="/")
        if done.returncode:
            raise Failed(f"{program} ended with {done.returncode}; see servers.log")

    def stop(self):
        self.own("pg_ctl", "-D", self.data, "-s", "-m", "fast", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)

    def psql(self, text, database="postgres"):
        command = [self.programs / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
                   self.port, "-U", "bench", "-d", database]
        done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def fill(self):
        """The table of pgbench."""
        rows = self.directory / "rows.copy"
        command = [self.work.programs / "dataset", "--rows", str(PGBENCH_ROWS), "--out", "-"]
        made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows.write_text(made.replace("\\", "\\\\"))  # as COPY reads it
        self.psql(TABLE.replace("{file}", str(rows)))
        (self.directory / "update.sql").write_text(UPDATE)
        self.psql(f"CREATE DATABASE {DATABASE}")
        self.version = self.psql("SHOW server_version")

    def settle(self):
        """What one of the two wrote does not burden the other."""
        self.psql("CHECKPOINT")

    def pgbench(self):
        seconds = max(1, round(self.settings.seconds))
        command = [self.programs / "pgbench", "-n", "-M", "prepared", "-h", "127.0.0.1", "-p", self.port, "-U", "bench",
                   "-f", self.directory / "update.sql", "-c", CONNECTIONS, "-j", 1, "-T", seconds, "postgres"]
        words = [str(word) for word in command]
        subprocess.run([*words[:-2], "1", "postgres"], capture_output=True, text=True, check=True)  # to warm up
        before, busy, began = self.used(), busy_seconds(), time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        after, wall = self.used(), time.monotonic() - began
        found = {name: float(re.search(pattern, done)[1])
                 for name, pattern in (("per_second", r"tps = ([\d.]+)"), ("mean_ms", r"latency average = ([\d.]+)"))}
        own = after[0] - before[0]
        return {**found, **self.facts(), "server_processors": own / wall, "statuses": {}, "errors": 0,
                "per_processor_second": found["per_second"] * wall / max(own, 0.01),
                "foreign_processors": max(0.0, (busy_seconds() - busy - own - after[1] + before[1]) / wall)}

    def facts(self):
        return {"postgres": f"{self.version}; " + ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())}

    def used(self):
        """Processor time of PostgreSQL with its processes that have ended, and of our children."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return processor_seconds(self.pid, ended=True), children.ru_utime + children.ru_stime

    def cosell(self, issuer):
        """A server on the database, which holds referrals from the first time on."""
        if not self.target:
            self.prepare(issuer)
        return self.start()

    def start(self, ids=None):
        return started(self.work, self.target, SMALLEST, self.settings.port, str(self.directory), ids or self.ids)

    def prepare(self, issuer):
        url = f"postgres://bench@127.0.0.1:{self.port}/{DATABASE}"
        cosell, configuration = str(self.work.cosell), str(self.work.configuration)
        done = subprocess.run([cosell, "init", "--config", configuration, "--database", url, "--organization",
                               "Contoso Company", "--id", OWNER, "--issuer", "bench", "--tenant", OWNER, "--admin",
                               ADMINISTRATOR], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"cosell init: {done.stderr.strip()}")
        command = [cosell, "serve", "--strict", "--config", configuration, "--log-requests", "off", "--database", url,
                   "--listen", "127.0.0.1:{port}"]
        self.target = Target("Cosell on PostgreSQL", command, named=True, token=lambda _: issuer.token())
        self.ids, self.bodies = self.directory / "ids.txt", self.directory / "bodies.jsonl"
        given = (self.work.data(SMALLEST) / "dataset" / "open.jsonl").read_text().splitlines()
        given = [json.dumps(own_deal(json.loads(line))) for line in given]
        with self.start(self.work.data(SMALLEST) / "dataset" / "ids.txt") as server:
            with ThreadPoolExecutor(POSTING) as pool:
                shares = [range(first, REFERRALS, POSTING) for first in range(POSTING)]
                made = pool.map(lambda share: self.post(server, [given[n % len(given)] for n in share]), shares)
                made = [referral for share in made for referral in share]
        self.ids.write_text("".join(referral["id"] + "\n" for referral in made))
        self.bodies.write_text("".join(json.dumps(body_of(referral), separators=(",", ":"), ensure_ascii=False) + "\n"
                                       for referral in made))
        self.psql("VACUUM ANALYZE", DATABASE)

    def post(self, server, bodies):
        headers = {"authorization": f"Bearer {server.token}", "content-type": "application/json"}
        client = http.client.HTTPConnection(f"127.0.0.1:{server.port}", timeout=60)
        made = [members(call(client, "POST", LIST, headers, body)) for body in bodies]
        client.close()
        return made

    def put(self):
        """The options of the loader."""
        return ["--path", BY_ID, "--ids", self.ids, "--threads", 2, "--method", "PUT", "--bodies", self.bodies,
                "--named", "yes"]


def body_of(referral):
    return {name: value for name, value in referral.items() if name not in TAKEN_AWAY}


def own_deal(referral):
    """The body of a POST that begins an engagement."""
    return {name: value for name, value in referral.items() if name not in ("id", "engagementId")}


def programs():
    """Where PostgreSQL's programs are: Debian keeps them off the path."""
    found = [Path(directory) for directory in os.environ["PATH"].split(":")]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for directory in found:
        if all((directory / name).exists() for name in ("initdb", "pg_ctl", "pgbench", "psql")):
            return directory
    raise Failed("PostgreSQL is not installed: initdb, pg_ctl, psql and pgbench (Debian: postgresql)")
