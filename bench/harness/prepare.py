"""Builds the programs, makes the data, installs the peers. What is there already is left alone."""
import json
import os
import shutil
import subprocess
from pathlib import Path

from .lists import LISTS
from .machine import Failed, output
from .recording import Sandbox, record_answers, record_writes
from .servers import ADMINISTRATOR, OWNER, SMALLEST

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
NODE_NEEDED = 22


class Missing(Exception):
    """Something a peer needs is not on this machine."""


# Larger tables are not copied before each run, and not recorded.
MOST_COPIED = 100_000
LARGE_BYTES_PER_ROW = 6000  # 60 GB for 10,000,000 rows


def run(*command, cwd=None, env=None, stdin=None):
    words = [str(word) for word in command]
    subprocess.run(words, cwd=cwd, env={**os.environ, **(env or {})}, stdin=stdin, check=True)


class Work:
    """The working directory: everything that is built, installed or made."""

    def __init__(self, path, cosell=None, node="node", keep=False):
        self.path = Path(path).resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self.programs = self.path / "target" / "release"
        self.node, self.keep = node, keep
        self.missing = {}
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        self.cosell_is_given = cosell is not None
        self.configuration = self.path / "cosell.toml"
        self.cosell = Path(cosell).resolve() if cosell else target / "release" / "cosell"

    def data(self, rows):
        return self.path / "data" / str(rows)

    def first_id(self, rows, file=None):
        with open(file or self.data(rows) / "dataset" / "ids.txt") as ids:
            return ids.readline().strip()

    def prepare(self, sizes, peers, suites, large):
        run("cargo", "build", "--release", "--locked", "--target-dir", self.path / "target", cwd=BENCH)
        if not self.cosell_is_given:
            run("cargo", "build", "--release", "--locked", "-p", "cosell", cwd=ROOT)
        installs = {"cap": self.install_cap, "fastapi": self.install_fastapi}
        for peer in installs:
            if peer in peers:
                self.attempt(peer, installs[peer])
            else:
                self.missing[peer] = "not asked for"
        for rows in sorted({SMALLEST, *sizes}):
            self.make_all(rows, suites if rows in sizes else [])
        if "large" in suites:
            self.make(large, "large", self.make_large, self.cosell)

    def make_all(self, rows, suites):
        """What the suites need of a table; of the smallest one always what the limits answer."""
        source = BENCH / "src"
        small = rows <= MOST_COPIED
        self.make(rows, "dataset", self.make_dataset, source / "dataset.rs", source / "prose.rs",
                  source / "bin" / "dataset.rs")
        dataset = self.stamp(rows, "dataset")
        if set(suites) & set(LISTS):
            self.make(rows, "lists", self.make_lists, dataset, source / "lists.rs")
        self.make(rows, "sandbox", self.make_sandbox, dataset, self.cosell)
        if rows == SMALLEST or small and "read" in suites:
            self.make(rows, "answers", self.make_answers, dataset, self.cosell, source / "table.rs")
        if rows == SMALLEST:
            self.make(rows, "writes", self.make_writes, dataset, self.cosell)
        if small and {"read", "write"} & set(suites) or rows == SMALLEST:
            self.make(rows, "serve", self.make_serve, dataset, self.cosell)
        for peer, make, loader in (("cap", self.make_cap, "load.js"), ("fastapi", self.make_fastapi, "app.py")):
            if peer not in self.missing and set(suites) & {"read", "write", "start", "disk", *LISTS}:
                self.attempt(peer, lambda: self.make(rows, peer, make, dataset, BENCH / "peers" / peer / loader))

    def attempt(self, peer, step):
        """A peer that cannot be had is left out, and the table says so."""
        try:
            step()
        except (Missing, OSError, subprocess.CalledProcessError) as error:
            self.missing[peer] = str(error)
            print(f"bench: {peer} is left out: {error}", flush=True)

    def make(self, rows, name, make, *sources):
        """Makes one data directory, anew where a source is not what it was; half a one never stays under its name."""
        done, stamp = self.data(rows) / name, self.stamp(rows, name)
        if done.exists():
            if self.keep or stamp.exists() and json.loads(stamp.read_text()) == signature(sources):
                return
            shutil.rmtree(done)
        stamp.unlink(missing_ok=True)
        print(f"bench: making {name} with {rows} rows", flush=True)
        partial = done.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(rows, partial)
        partial.rename(done)
        stamp.write_text(json.dumps(signature(sources)))

    def stamp(self, rows, name):
        """What a data directory was made from. It lies beside it, since servers that run on data touch them."""
        return self.data(rows) / f"{name}.made"

    def rows_file(self, rows):
        return self.data(rows) / "dataset" / "rows.jsonl"

    def make_dataset(self, rows, directory):
        run(self.programs / "dataset", "--rows", rows, "--out", directory)

    def make_lists(self, rows, directory):
        run(self.programs / "ceiling", "--what", "fill-lists", "--table", directory / "lists.db", "--rows", rows)

    def make_sandbox(self, rows, directory):
        run(self.cosell, "load", self.rows_file(rows), "--data", directory, "--organization", OWNER)

    def make_serve(self, rows, directory):
        self.init(directory)
        self.make_sandbox(rows, directory)

    def init(self, directory):
        run(self.cosell, "init", "--data", directory, "--organization", "Contoso Company", "--id", OWNER,
            "--issuer", "bench", "--tenant", OWNER, "--admin", ADMINISTRATOR)

    def make_answers(self, rows, directory):
        with Sandbox(self, self.data(rows) / "sandbox", directory / "sandbox") as sandbox:
            record_answers(self, sandbox, rows, directory / "table.db")
        shutil.rmtree(directory / "sandbox")

    def make_writes(self, rows, directory):
        record_writes(self, rows, directory)

    def make_large(self, rows, directory):
        """The rows go straight into the program; of the ids a million is kept."""
        needed, free = rows * LARGE_BYTES_PER_ROW, shutil.disk_usage(self.path).free
        if free < needed:
            raise Failed(f"{rows:,} rows need {needed / 1e9:,.0f} GB of free disk, and there are {free / 1e9:,.0f}")
        sample = min(rows, 1_000_000)
        run(self.programs / "dataset", "--rows", rows, "--sample", sample, "--out", directory)
        self.init(directory)
        made = subprocess.Popen([self.programs / "dataset", "--rows", str(rows), "--out", "-"], stdout=subprocess.PIPE)
        run(self.cosell, "load", "-", "--data", directory, "--organization", OWNER, stdin=made.stdout)
        made.stdout.close()
        if made.wait():
            raise Failed("the dataset broke off")

    def make_cap(self, rows, directory):
        env = {"cds_requires_db_credentials_url": str(directory / "referrals.db"), "NODE_ENV": "production"}
        run(self.node, "load.js", self.rows_file(rows), cwd=self.path / "peers" / "cap", env=env)
        settle(directory / "referrals.db")

    def make_fastapi(self, rows, directory):
        env = {"REFERRALS_DB": str(directory / "referrals.db")}
        run("venv/bin/python", "load.py", self.rows_file(rows), cwd=self.path / "peers" / "fastapi", env=env)
        settle(directory / "referrals.db")

    def install_cap(self):
        self.find_node()
        peer = self.path / "peers" / "cap"
        shutil.copytree(BENCH / "peers" / "cap", peer, dirs_exist_ok=True)
        if not (peer / "node_modules" / "@sap" / "cds").exists():
            path = f"{Path(shutil.which(self.node)).parent}:{os.environ['PATH']}"
            run("npm", "install", "--no-audit", "--no-fund", cwd=peer, env={"PATH": path})

    def find_node(self):
        """A Node.js that CAP runs on; fetched from npm where the machine's own is too old."""
        version = output(self.node, "--version")
        if version.startswith("v") and int(version[1:].split(".")[0]) >= NODE_NEEDED:
            return
        if not shutil.which("npm"):
            raise Missing(f"Node.js {NODE_NEEDED} or newer and npm")
        own = self.path / "node"
        if not (own / "node_modules" / ".bin" / "node").exists():
            own.mkdir(exist_ok=True)
            (own / "package.json").write_text("{}\n")
            run("npm", "install", "--no-audit", "--no-fund", "node@24", cwd=own)
        self.node = str(own / "node_modules" / ".bin" / "node")

    def install_fastapi(self):
        peer = self.path / "peers" / "fastapi"
        shutil.copytree(BENCH / "peers" / "fastapi", peer, dirs_exist_ok=True)
        if not (peer / "venv" / "bin" / "uvicorn").exists():
            run("python3", "-m", "venv", "venv", cwd=peer)
            run("venv/bin/pip", "install", "--quiet", "-r", "requirements.txt", cwd=peer)


def signature(sources):
    """The names, sizes and times of files."""
    return [[source.name, source.stat().st_size, source.stat().st_mtime_ns] for source in sources]


def settle(database):
    """Statistics for the planner, and everything in the one file."""
    import sqlite3

    with sqlite3.connect(database) as connection:
        connection.execute("ANALYZE")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
