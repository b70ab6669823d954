"""Medians, ratios and the table of targets, as Markdown."""
from statistics import median

from .lists import BY_LINK, COUNTED, DEEP, FIRST, LISTS
from .servers import COSELL, EXTENDED, SERVE
from .suites import CEILING, CONNECTIONS, DISK, IN_PROCESS

CAP, FASTAPI = "SAP CAP", "FastAPI"


class Figures:
    """The results of one call of `run`, by suite, rows, name and what was asked."""

    def __init__(self, results):
        self.results = results

    def of(self, suite, rows, name, what, key):
        return [result[key] for result in self.results
                if (result["suite"], result["rows"], result["name"], result["what"]) == (suite, rows, name, what)]

    def median(self, suite, rows, name, what, key):
        values = self.of(suite, rows, name, what, key)
        return median(values) if values else None

    def series(self, suite):
        seen = {}
        for result in self.results:
            if result["suite"] == suite:
                seen.setdefault((result["rows"], result["name"], result["what"]), None)
        return sorted(seen, key=lambda one: one[0])

    def ratio(self, suite, rows, ours, theirs, key):
        """Of medians; each of `ours` and `theirs` is a name and what was asked."""
        upper, lower = (self.median(suite, rows, *one, key) for one in (ours, theirs))
        return upper / lower if upper is not None and lower else None

    def remarks(self, suite, rows, name, what):
        """What makes a row worth less: refusals, errors, other programs."""
        remarks = []
        for statuses in self.of(suite, rows, name, what, "statuses"):
            remarks += [f"{count} × {status}" for status, count in statuses.items() if int(status) >= 300]
        errors = sum(self.of(suite, rows, name, what, "errors"))
        if errors:
            remarks.append(f"{errors} errors")
        foreign = max(self.of(suite, rows, name, what, "foreign_processors"))
        if foreign > 0.2:
            remarks.append(f"other programs used up to {foreign:.1f} processors")
        return ", ".join(remarks)


def text(value, form="{:,.0f}"):
    return "–" if value is None else form.format(value)


def percent(ratio):
    return text(None if ratio is None else ratio * 100, "{:.0f} %")


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def rate_cells(figures, suite, rows, name, what):
    rates = figures.of(suite, rows, name, what, "per_second")
    cells = [f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"]
    return cells + [text(figures.median(suite, rows, name, what, key), "{:.2f}") for key in ("p50_ms", "p99_ms")]


def reads(figures, suite, limit, heading):
    lines = []
    for rows, name, what in figures.series(suite):
        share = figures.ratio(suite, rows, (name, what), (limit, what), "per_processor_second")
        lines.append([f"{rows:,}", name, *rate_cells(figures, suite, rows, name, what),
                      text(figures.median(suite, rows, name, what, "per_processor_second")), percent(share),
                      text(figures.median(suite, rows, name, what, "mean_body")),
                      text(figures.median(suite, rows, name, what, "load_mb"), "{:.1f}"),
                      figures.remarks(suite, rows, name, what)])
    heads = ["rows", "server", "per second (min–max)", "p50 ms", "p99 ms", "per processor-second", f"of {limit}",
             "bytes of a body", "anonymous MB under load", "remarks"]
    return [heading, "", *table(heads, lines)] if lines else []


def writes(figures):
    lines = []
    for rows, name, what in figures.series("write"):
        share = figures.ratio("write", rows, (name, what), (CEILING, "ceiling"), "per_second")
        times = figures.ratio("write", rows, (name, what), ("SAP CAP", "PATCH"), "per_second")
        plain = what == "ceiling"
        lines.append([f"{rows:,}", name if plain else f"{name}: {what}",
                      *rate_cells(figures, "write", rows, name, what), "–" if name == DISK else percent(share),
                      "–" if plain else text(times, "{:.1f} ×"),
                      "–" if plain else text(figures.median("write", rows, name, what, "load_mb"), "{:.1f}"),
                      "" if plain else figures.remarks("write", rows, name, what)])
    heads = ["rows", "what", "per second (min–max)", "p50 ms", "p99 ms", "of group commit", "CAP's PATCH",
             "anonymous MB under load", "remarks"]
    return ["## Durable conditional writes, 64 connections", "", *table(heads, lines)] if lines else []


def lists(figures, suite, heading):
    lines = []
    for rows, name, what in figures.series(suite):
        def times(other, key="per_second"):
            return None if name == other else figures.ratio(suite, rows, (name, what), (other, what), key)

        connections = min(figures.of(suite, rows, name, what, "connections"))
        remarks = [figures.of(suite, rows, name, what, "place")[0],
                   "" if connections == CONNECTIONS else f"{connections} connections",
                   figures.remarks(suite, rows, name, what)]
        lines.append([f"{rows:,}", what, name, *rate_cells(figures, suite, rows, name, what),
                      text(figures.median(suite, rows, name, what, "per_processor_second")),
                      percent(times(IN_PROCESS, "per_processor_second")),
                      text(times(CAP), "{:,.1f} ×"), text(times(FASTAPI), "{:,.1f} ×"),
                      text(figures.median(suite, rows, name, what, "mean_body")),
                      ", ".join(remark for remark in remarks if remark)])
    lines.sort(key=lambda line: (int(line[0].replace(",", "")), LISTS[suite].index(line[1])))
    heads = ["rows", "list", "server", "per second (min–max)", "p50 ms", "p99 ms", "per processor-second",
             "of SQLite in process", "CAP", "FastAPI", "bytes of a body", "remarks"]
    return [heading, "", *table(heads, lines)] if lines else []


def starts(figures):
    lines = []
    for rows, name, what in figures.series("start"):
        times = figures.of("start", rows, name, what, "first_answer_ms")
        lines.append([f"{rows:,}", name, f"{median(times):.1f} ({min(times):.1f}–{max(times):.1f})",
                      text(figures.median("start", rows, name, what, "idle_mb"), "{:.1f}")])
    heads = ["rows", "server", "start to first answer, ms (min–max)", "anonymous MB, idle"]
    return ["## Start and memory", "", *table(heads, lines)] if lines else []


def targets(figures):
    """The first targets, and what was reached."""
    def share(rows, name=COSELL):
        return figures.ratio("read", rows, (name, "GET"), ("bare hyper", "GET"), "per_processor_second")

    put = figures.ratio("write", 1000, (COSELL, "PUT"), (CEILING, "ceiling"), "per_second")
    patch = figures.ratio("write", 1000, (COSELL, "PATCH"), (CEILING, "ceiling"), "per_second")
    times = figures.ratio("write", 1000, (COSELL, "PUT"), ("SAP CAP", "PATCH"), "per_second")
    start = figures.median("start", 100_000, COSELL, "start", "first_answer_ms")
    idle = figures.median("start", 100_000, COSELL, "start", "idle_mb")
    load = figures.median("read", 100_000, COSELL, "GET", "load_mb")

    lines = [
        line("GET by id with token, 1,000 rows, cache 16 MiB: of bare hyper per processor-second", "≥ 60 %",
             percent(share(1000)), met(share(1000), lambda value: value >= 0.6)),
        line("the same with 100,000 rows, cache 16 MiB", "", percent(share(100_000)), None),
        line("the same with 100,000 rows under serve, cache 512 MiB, a line of log for each request", "",
             percent(share(100_000, SERVE)), None),
        line("durable PUT under If-Match, 64 connections: of in-process group commit (64)", "≥ 40 %", percent(put),
             met(put, lambda value: value >= 0.4)),
        line("the same as PATCH", "", percent(patch), None),
        line("the same PUT against SAP CAP's PATCH", "≥ 40 ×", text(times, "{:.1f} ×"),
             met(times, lambda value: value >= 40)),
        line("start to first answer, 100,000 rows", "< 50 ms", text(start, "{:.1f} ms"),
             met(start, lambda value: value < 50)),
        line("anonymous memory, idle, 100,000 rows", "< 30 MB", text(idle, "{:.1f} MB"),
             met(idle, lambda value: value < 30)),
        line("anonymous memory under GET load, 100,000 rows", "", text(load, "{:.1f} MB"), None),
    ]
    lines += targets_of_lists(figures)
    reached = [line for line in lines if line[2] != "–"]
    return ["## Targets", "", *table(["what", "target", "reached", "met"], reached)] if reached else []


def line(what, aim, reached, met):
    return [what, aim, reached, "–" if met is None else "yes" if met else "no"]


def met(value, holds):
    return None if value is None else holds(value)


def targets_of_lists(figures):
    """Each ratio is of rates; a time is the inverse of a rate."""
    def faster(suite, rows, what, peer):
        return figures.ratio(suite, rows, (EXTENDED, what), (peer, what), "per_second")

    def longer(suite, one, other):
        """How often as long one takes; each is rows and what was asked."""
        rates = [figures.median(suite, rows, EXTENDED, what, "per_second") for rows, what in (one, other)]
        return rates[1] / rates[0] if all(rates) else None

    def at_least(what, value, aim):
        return line(what, f"≥ {aim} ×", text(value, "{:,.1f} ×"), met(value, lambda value: value >= aim))

    def at_most(what, value, aim):
        return line(what, f"≤ {aim:g} ×", text(value, "{:,.2f} ×"), met(value, lambda value: value <= aim))

    small, large = 100_000, 1_000_000
    return [
        *(at_least(f"{what}, {rows:,} rows, against {peer}", faster("list", rows, what, peer), aim)
          for what in (FIRST, COUNTED) for rows in (small, large) for peer, aim in ((CAP, 100), (FASTAPI, 300))),
        at_most("first page, 1,000,000 rows: the time of 100,000", longer("list", (large, FIRST), (small, FIRST)), 1.3),
        at_most("page 1000 by link, 1,000,000 rows: the time of page 1",
                longer("page", (large, BY_LINK), (large, FIRST)), 1.5),
        at_most("first page with its count, 1,000,000 rows: the time without",
                longer("list", (large, COUNTED), (large, FIRST)), 2),
        at_least("$skip to near 18,000 of 100,000 rows, against SAP CAP", faster("page", small, DEEP, CAP), 70),
    ]


def report(facts, results, missing):
    figures = Figures(results)
    lines = [f"# Figures of {facts['date']}", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in facts.items() if name != "date"]
    lines += [f"- {peer} was not measured, or not in every round: {why}" for peer, why in missing.items()]
    lines += ["", "Medians; the range over the rounds in brackets.", "", *targets(figures)]
    lines += reads(figures, "read", "bare hyper", "## GET by id, 64 connections")
    lines += writes(figures) + starts(figures)
    lines += lists(figures, "list", f"## Lists: the 50 newest of a filter, {CONNECTIONS} connections")
    lines += lists(figures, "page", "## Lists: pages")
    lines += lists(figures, "search", "## Lists: search")
    lines += lists(figures, "apply", "## Lists: aggregation")
    return "\n".join(lines)
