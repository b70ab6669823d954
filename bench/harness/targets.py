"""The table of the targets: each limit, what was reached of it, and whether that is enough. Computed from one run."""
from dataclasses import dataclass

from .lists import BY_LINK, DEEP, FIRST, COUNTED
from .plan import CEILING, CEILING_ALONE, LARGE, ON_POSTGRES, PGBENCH, SMALL
from .servers import ANEW, BARE, CAP, COSELL, EXTENDED, FASTAPI, GROUP_ONE, HOLDING, SERVED, SMALLEST, WITH_ROWS, WITH_SQLITE

RATE, BY_PROCESSOR, MEDIAN_TIME = "per_second", "per_processor_second", "p50_ms"
UNITS = {RATE: "/s", BY_PROCESSOR: "/processor-s", MEDIAN_TIME: " ms"}
OTHER = {RATE: BY_PROCESSOR, BY_PROCESSOR: RATE}
DEFAULT, HELD = "16 MiB (default)", "512 MiB"
MEGA = 1e6


@dataclass
class Target:
    """A line; `aim` is a sign and a number, nothing where the line only informs."""

    what: str
    cache: str
    limit: str
    own: str
    reached: float
    unit: str = ""
    aim: tuple = None
    also: str = ""

    def cells(self):
        aim = met = "–"
        if self.aim:
            sign, number = self.aim
            aim = f"{sign} {number:g}{self.unit}"
            holds = {"≥": self.reached >= number, "≤": self.reached <= number, "<": self.reached < number}
            met = "met" if holds[sign] else "**missed**"
        return [self.what, self.cache, self.limit, self.own, figure(self.reached) + self.unit, aim, met, self.also]


HEADS = ["what", "cache", "limit", "Cosell", "reached", "target", "", "also"]


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Table:
    """Collects the lines for which the run has the figures."""

    def __init__(self, figures):
        self.figures, self.lines = figures, []

    def add(self, *words, **more):
        self.lines.append(Target(*words, **more).cells())

    def median(self, suite, one, key):
        return self.figures.median(suite, *one, key)

    def of(self, what, cache, suite, own, limit, key, aim=None, unit="", inverse=False):
        """Own over limit, each (rows, name, what), or the inverse. `also` has the ratio by the other key."""
        values = [self.median(suite, one, key) for one in (own, limit)]
        if not all(values):
            return

        def ratio(values):
            return values[1] / values[0] if inverse else values[0] / values[1]

        also = ""
        if key in OTHER:
            others = [self.median(suite, one, OTHER[key]) for one in (own, limit)]
            if all(others):
                also = f"{figure(ratio(others))}{unit} by {'rate' if OTHER[key] == RATE else 'processor-second'}"
        said = [f"{values[0]:,.0f}" if key != MEDIAN_TIME else f"{values[0] * 1000:,.0f} µs",
                f"{values[1]:,.0f}" if key != MEDIAN_TIME else f"{values[1] * 1000:,.0f} µs"]
        said = [text + UNITS[key] if key != MEDIAN_TIME else text for text in said]
        self.add(what, cache, said[1], said[0], ratio(values), unit, aim, also)


def lines(figures):
    table = Table(figures)
    reads(table)
    writes(table)
    lists(table)
    growth(table)
    large(table)
    rest(table)
    return table.lines


def reads(table):
    def get(rows, name):
        return rows, name, "GET"

    for rows, name, cache, aim in ((SMALLEST, COSELL, DEFAULT, ("≥", 0.85)), (SMALL, COSELL, DEFAULT, ("≥", 0.45)),
                                   (SMALL, HOLDING, HELD, ("≥", 0.60)), (LARGE, COSELL, DEFAULT, None)):
        table.of(f"GET by id, {rows:,} rows: of bare hyper with the same bytes", cache, "read", get(rows, name),
                 get(rows, BARE), BY_PROCESSOR, aim)
    for rows in (SMALLEST, SMALL):
        table.of(f"hyper and SQLite, {rows:,} rows: of bare hyper (a limit, not Cosell)", "–", "read",
                 get(rows, WITH_SQLITE), get(rows, BARE), BY_PROCESSOR)
    for peer, aim in ((CAP, 110), (FASTAPI, 70)):
        for rows in (SMALLEST, SMALL):
            table.of(f"GET by id, {rows:,} rows: against {peer}", DEFAULT, "read", get(rows, COSELL), get(rows, peer),
                     BY_PROCESSOR, ("≥", aim) if rows == SMALLEST else None, " ×")


def writes(table):
    rows, ceiling = SMALLEST, (SMALLEST, CEILING, "ceiling")
    for what, aim in (("PUT", 0.65), ("PUT, 256 clients", 0.75)):
        clients = "64 clients" if what == "PUT" else "256 clients"
        table.of(f"durable PUT, {clients}: of the same rows in process, 64 a commit", DEFAULT, "write",
                 (rows, COSELL, what), ceiling, RATE, ("≥", aim))
    for what in ("PUT", "PUT, 256 clients"):
        table.of(f"hyper and the same rows, {what}: of the same rows in process (a limit, not Cosell)", "–", "write",
                 (rows, WITH_ROWS, what), ceiling, RATE)
    table.of(f"durable PUT, 64 clients: against the PATCH of {CAP}", DEFAULT, "write", (rows, COSELL, "PUT"),
             (rows, CAP, "PATCH"), BY_PROCESSOR, ("≥", 60), " ×")
    table.of("durable PUT, 64 clients: against groups of one", DEFAULT, "write", (rows, COSELL, "PUT"),
             (rows, GROUP_ONE, "PUT"), RATE, ("≥", 5), " ×")
    table.of("JSON Patch, 64 clients: of PUT", DEFAULT, "write", (rows, COSELL, "PATCH"), (rows, COSELL, "PUT"), RATE,
             ("≥", 0.85))
    table.of("PUT of a text that is searched, 64 clients: of PUT", DEFAULT, "write",
             (rows, COSELL, "PUT of a text that is searched"), (rows, COSELL, "PUT"), RATE)
    table.of("one client alone, PUT: the time of the bare commit of the same rows", DEFAULT, "write",
             (rows, COSELL, "PUT, one client"), (rows, CEILING_ALONE, "ceiling"), MEDIAN_TIME, ("≤", 1.3), " ×")


def lists(table):
    def own(what, rows=SMALL):
        return rows, EXTENDED, what

    for peer, aim in ((CAP, 120), (FASTAPI, 300)):
        table.of(f"list of 50, {SMALL:,} rows: against {peer}", DEFAULT, "list", own(FIRST), (SMALL, peer, FIRST), RATE,
                 ("≥", aim), " ×")
        table.of(f"the same, each list read anew: against {peer}", "no list kept", "list", (SMALL, ANEW, FIRST),
                 (SMALL, peer, FIRST), RATE, None, " ×")
    table.of(f"`$skip` near 18,000, {SMALL:,} rows: against {CAP}", DEFAULT, "page", own(DEEP), (SMALL, CAP, DEEP),
             RATE, ("≥", 70), " ×")
    table.of(f"the same, each list read anew: against {CAP}", "no list kept", "page", (SMALL, ANEW, DEEP),
             (SMALL, CAP, DEEP), RATE, None, " ×")
    for rows in (SMALL, LARGE):
        place = "page 1000" if rows == LARGE else "the last page"
        table.of(f"{place} by link, {rows:,} rows: the time of page 1", DEFAULT, "page", own(BY_LINK, rows),
                 own(FIRST, rows), RATE, ("≤", 1.5) if rows == LARGE else None, " ×", inverse=True)
    table.of(f"list of 50 with its count, {LARGE:,} rows: the time without", DEFAULT, "list", own(COUNTED, LARGE),
             own(FIRST, LARGE), RATE, ("≤", 2), " ×", inverse=True)


def growth(table):
    for what, suite, name, asked, key in (("GET by id", "read", COSELL, "GET", BY_PROCESSOR),
                                          ("list of 50", "list", EXTENDED, FIRST, RATE),
                                          ("durable PUT, 64 clients", "write", COSELL, "PUT", RATE)):
        table.of(f"{LARGE:,} rows, {what}: the time of {SMALL:,} rows", DEFAULT, suite, (LARGE, name, asked),
                 (SMALL, name, asked), key, ("≤", 1.25), " ×", inverse=True)


def large(table):
    """Of the largest table; a disk read more is allowed to the slowest of a hundred."""
    results = [result for result in table.figures.results if result["suite"] == "large"]
    rows = max((result["rows"] for result in results), default=0)

    def value(size, key):
        name = f"GET at 2,000/s, {size:,} rows"
        return table.median("large", (rows, SERVED, name), key)

    read = table.median("large", (rows, SERVED, "disk read"), "p50_us")
    for key, factor, more in (("p50_us", 1.5, 0), ("p99_us", 2, read or 0)):
        small, own = value(SMALLEST, key), value(rows, key)
        if not small or not own:
            continue
        means = value(SMALLEST, "mean_us"), value(rows, "mean_us")
        also = f"means {means[0]:,.0f} and {means[1]:,.0f} µs"
        if more:
            also += f"; a disk read {more:,.0f} µs is taken off"
        table.add(f"GET at 2,000/s, {rows:,} rows, {key[:3]} in the server: the time of {SMALLEST:,} rows", DEFAULT,
                  f"{small:,.0f} µs", f"{own:,.0f} µs", max(own - more, 0) / small, " ×",
                  ("≤", factor) if rows >= 10 * MEGA else None, also)


def rest(table):
    disk(table)
    start = table.median("start", (LARGE, COSELL, "start"), "first_answer_ms")
    if start:
        table.add(f"start to first answer, {LARGE:,} rows", DEFAULT, "–", f"{start:.1f} ms", start, " ms", ("<", 50))
    idle = table.median("start", (LARGE, COSELL, "start"), "idle_mb")
    if idle:
        table.add(f"anonymous memory idle, {LARGE:,} rows", DEFAULT, "–", f"{idle:.1f} MB", idle, " MB", ("<", 25))
    loads = {what: table.figures.of(suite, LARGE, name, asked, "load_mb")
             for what, suite, name, asked in (("GET", "read", COSELL, "GET"), ("PUT", "write", COSELL, "PUT"),
                                              ("list", "list", EXTENDED, FIRST))}
    loads = {what: max(values) for what, values in loads.items() if values}
    if loads:
        most = max(loads.values())
        said = ", ".join(f"{what} {value:.1f}" for what, value in loads.items())
        table.add(f"anonymous memory under 64 clients, {LARGE:,} rows, the highest of all rounds", DEFAULT, "–",
                  f"{said} MB", most, " MB", ("<", 64))
    table.of("PostgreSQL, durable PUT, 64 clients: of pgbench with one bare jsonb update", "–", "postgres",
             (0, ON_POSTGRES, "PUT"), (0, PGBENCH, "update"), RATE, ("≥", 0.6))


def disk(table):
    sizes = {result["rows"] for result in table.figures.results if result["suite"] == "disk"}
    for rows in sorted(sizes):
        def value(name, key):
            return table.median("disk", (rows, name, "bytes"), key)

        whole, search, given = (value(COSELL, key) for key in ("bytes", "search_bytes", "json_bytes"))
        if not whole:
            continue
        peer = value(CAP, "bytes")
        also = f"with the search index {whole / given:.2f}" + (f"; {CAP} {peer / given:.2f}" if peer else "")
        table.add(f"disk for {rows:,} referrals without the search index: of their JSON", "–",
                  f"{given / MEGA:,.0f} MB", f"{(whole - search) / MEGA:,.0f} MB", (whole - search) / given, "",
                  ("≤", 0.8) if rows == LARGE else None, also)
