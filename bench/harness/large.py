"""GET at a fixed rate on a table larger than the memory, and on a small one, by the server's own histogram."""
import mmap
import os
import random
import re
import statistics
import time
import urllib.request

from .machine import Failed, wait_for_quiet
from .servers import SMALLEST, started

RATE = 2000
PAGE = 4096
READS = 2000
SERIES = re.compile(r"^cosell_http_request_seconds_(bucket|sum|count)\{(.*)\} (\S+)$")
GET = {'route="referral"', 'method="GET"'}


class Histogram:
    """Times of GET by id since the start of a server; the difference of two is those between them."""

    def __init__(self, buckets, total, count):
        self.buckets, self.total, self.count = buckets, total, count

    @classmethod
    def of(cls, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        buckets, single = {}, {"sum": 0.0, "count": 0.0}
        for line in text.splitlines():
            found = SERIES.match(line)
            labels = set(found[2].split(",")) if found else set()
            if not GET <= labels:
                continue
            if found[1] == "bucket":
                bound = next(label for label in labels if label.startswith("le="))[4:-1]
                buckets[float(bound.replace("+Inf", "inf"))] = float(found[3])
            else:
                single[found[1]] = float(found[3])
        return cls(buckets, single["sum"], single["count"])

    def since(self, before):
        buckets = {bound: count - before.buckets.get(bound, 0) for bound, count in self.buckets.items()}
        return Histogram(buckets, self.total - before.total, self.count - before.count)

    def quantile(self, share):
        """In microseconds, and the bucket it lies in; within a bucket times are taken to be evenly spread."""
        wanted, below, lower = share * self.count, 0, 0.0
        for bound, count in sorted(self.buckets.items()):
            if count >= wanted:
                upper = bound if bound != float("inf") else lower
                within = (wanted - below) / max(count - below, 1)
                return (lower + (upper - lower) * within) * 1e6, [lower * 1e6, upper * 1e6]
            below, lower = count, bound
        raise Failed("the histogram is empty")


def measured(runner, target, rows):
    """The small table first, then the large one."""
    for size, data in ((SMALLEST, runner.work.data(SMALLEST) / "serve"), (rows, runner.work.data(rows) / "large")):
        ids = data.parent / ("dataset" if size == SMALLEST else "large") / "ids.txt"
        with started(runner.work, target, size, runner.settings.port, str(data), ids) as server:
            load = ["--path", target.get, "--ids", ids, "--rate", RATE]
            # The same times for both, so that the same requests are made.
            warm_up, seconds = 2.5 * runner.settings.warm_up, 5 * runner.settings.seconds
            runner.load(server, *load, warm_up=0.01, seconds=warm_up)
            wait_for_quiet()
            before = Histogram.of(runner.settings.port)
            loaded = runner.load(server, *load, warm_up=0.01, seconds=seconds)
            times = Histogram.of(runner.settings.port).since(before)
        found = {"mean_us": times.total / max(times.count, 1) * 1e6, "requests": times.count}
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            found[f"{name}_us"], found[f"{name}_bucket_us"] = times.quantile(share)
        yield f"GET at {RATE:,}/s, {size:,} rows", {**loaded, **found, "bytes": size_of(data), "table": size}
    yield "disk read", disk_reads(data / "cosell.db")


def size_of(directory):
    return sum(file.stat().st_size for file in directory.iterdir())


def disk_reads(file):
    """Reads of one page each at random places, past the page cache; microseconds."""
    pages = os.path.getsize(file) // PAGE
    room, times = mmap.mmap(-1, PAGE), []
    choice = random.Random(7)
    handle = os.open(file, os.O_RDONLY | os.O_DIRECT)
    try:
        for _ in range(READS):
            began = time.perf_counter()
            os.preadv(handle, [room], choice.randrange(pages) * PAGE)
            times.append((time.perf_counter() - began) * 1e6)
    finally:
        os.close(handle)
        room.close()
    return {"p50_us": statistics.median(times), "p99_us": statistics.quantiles(times, n=100)[98]}
