"""What Cosell answers and writes, recorded, so that the limits answer and write the same."""
import http.client
import json
import re
import shutil
import subprocess
from pathlib import Path

from .issuer import again
from .machine import Failed
from .servers import BY_ID, free_port, sandbox_token


class Sandbox:
    """A sandbox on a copy of the data, while it is recorded."""

    def __init__(self, work, data, copy=None):
        if copy:
            shutil.copytree(data, copy)
        self.address = f"127.0.0.1:{free_port()}"
        command = [work.cosell, "sandbox", "--data", copy or data, "--listen", self.address]
        with open(work.path / "servers.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.cosell = work.cosell

    def __enter__(self):
        if not self.process.stdout.readline():
            raise Failed("the sandbox to be recorded did not start; see servers.log")
        self.token = again(lambda: sandbox_token(self.cosell, self.address.rsplit(":", 1)[1]))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def record_answers(work, sandbox, rows, table):
    command = [work.programs / "record", "--address", sandbox.address, "--path", BY_ID, "--token", sandbox.token,
               "--ids", work.data(rows) / "dataset" / "ids.txt", "--table", table]
    subprocess.run(command, check=True)


def record_writes(work, rows, directory):
    """Two states of a database, between which each open referral had one PUT that named itself."""
    data = directory / "data"
    shutil.copytree(work.data(rows) / "sandbox", data)
    # The first state has seen a PUT of each too: a row that is written again is not as one that was only loaded.
    for number, state in enumerate(("first", "second")):
        with Sandbox(work, data) as sandbox:
            put_all(work, sandbox, rows, number)
        # A server that ended leaves everything in the database.
        shutil.copyfile(data / "cosell.db", directory / f"{state}.db")
    shutil.rmtree(data)


def put_all(work, sandbox, rows, number):
    dataset = work.data(rows) / "dataset"
    client = http.client.HTTPConnection(sandbox.address, timeout=60)
    headers = {"authorization": f"Bearer {sandbox.token}", "content-type": "application/json"}
    ids, bodies = Path(dataset / "open.ids").read_text().split(), Path(dataset / "open.jsonl").read_text().splitlines()
    for place, (id, body) in enumerate(zip(ids, bodies)):
        path = BY_ID.replace("{id}", id)
        tag = call(client, "GET", path, headers).headers["etag"]
        value = 100_000 + (number * len(ids) + place) % 900_000
        changed = re.sub(r'("dealValue":)\d+', rf"\g<1>{value}", body, count=1)
        named = {"if-match": tag, "request-id": f"{number:08x}-0000-4000-8000-{place:012x}"}
        call(client, "PUT", path, {**headers, **named}, changed)
    client.close()


def call(client, method, path, headers, body=None):
    client.request(method, path, body=body.encode() if body else None, headers=headers)
    answer = client.getresponse()
    answer.content = answer.read()
    if answer.status >= 300:
        raise Failed(f"{method} {path}: {answer.status} {answer.content[:300].decode(errors='replace')}")
    return answer


def members(answer):
    return json.loads(answer.content)
