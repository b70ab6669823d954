"""Tokens for `cosell serve`: a sandbox plays the issuer, and runs only while a token is taken."""
import subprocess
import time
import urllib.request

from .machine import Failed
from .servers import ADMINISTRATOR

CONFIGURATION = """[limits]
requests_per_second = 0

[[issuer]]
name = "bench"
url = "{url}/{{tenantid}}/"
audiences = ["https://api.partner.microsoft.com"]
key_set_file = "{keys}"
"""


class Issuer:
    """Its keys stay in the working directory, so a key set written once stays true."""

    def __init__(self, work, port):
        self.work, self.url = work, f"http://127.0.0.1:{port}"
        self.directory = work.path / "issuer"
        self.directory.mkdir(exist_ok=True)
        self.listen = f"127.0.0.1:{port}"

    def configure(self, file):
        """Writes a configuration that trusts this issuer."""
        keys = self.directory / "keys.json"
        keys.write_bytes(self.running(lambda: urllib.request.urlopen(f"{self.url}/common/discovery/v2.0/keys").read()))
        file.write_text(CONFIGURATION.format(url=self.url, keys=keys))

    def token(self):
        command = [self.work.cosell, "token", "--user", ADMINISTRATOR, "--server", self.url]
        return self.running(lambda: subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())

    def running(self, ask):
        command = [self.work.cosell, "sandbox", "--no-seed", "--data", self.directory / "data", "--listen", self.listen]
        with open(self.work.path / "servers.log", "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
            try:
                if not process.stdout.readline():
                    raise Failed("the issuer did not start; see servers.log")
                return again(ask)
            finally:
                process.terminate()
                process.wait()
                process.stdout.close()


def again(ask, limit=20.0):
    """The key of a first start is made in the background: asks until it is there."""
    end = time.monotonic() + limit
    while True:
        try:
            return ask()
        except (OSError, subprocess.CalledProcessError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
