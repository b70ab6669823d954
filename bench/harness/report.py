"""Medians, ratios and the table of targets, as Markdown."""
from statistics import median

from . import targets
from .lists import LISTS
from .plan import CEILING, CONNECTIONS, DISK, IN_PROCESS
from .servers import BARE, CAP, FASTAPI

JUDGED = ("GET by processor-second of the server, since the load shares the machine; what waits for the disk, and lists, "
          "by rate. The other of the two is beside it.")


class Figures:
    """The results of one call of `run`, by suite, rows, name and what was asked."""

    def __init__(self, results):
        self.results = results

    def of(self, suite, rows, name, what, key):
        return [result[key] for result in self.results_of(suite, rows, name)
                if result["what"] == what and key in result]

    def results_of(self, suite, rows, name):
        return [result for result in self.results
                if (result["suite"], result["rows"], result["name"]) == (suite, rows, name)]

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
        foreign = max(self.of(suite, rows, name, what, "foreign_processors"), default=0)
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
    return cells + [text(figures.median(suite, rows, name, what, key), "{:.3f}") for key in ("p50_ms", "p99_ms")]


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
        times = figures.ratio("write", rows, (name, what), (CAP, "PATCH"), "per_second")
        plain = what == "ceiling"
        lines.append([f"{rows:,}", name if plain else f"{name}: {what}",
                      *rate_cells(figures, "write", rows, name, what),
                      text(figures.median("write", rows, name, what, "per_processor_second")),
                      "–" if name == DISK else percent(share), "–" if plain else text(times, "{:.1f} ×"),
                      "–" if plain else text(figures.median("write", rows, name, what, "load_mb"), "{:.1f}"),
                      figures.remarks("write", rows, name, what)])
    heads = ["rows", "what", "per second (min–max)", "p50 ms", "p99 ms", "per processor-second",
             "of the same rows in process", "CAP's PATCH", "anonymous MB under load", "remarks"]
    heading = f"## Durable conditional writes, {CONNECTIONS} connections where not said"
    return [heading, "", *table(heads, lines), *written(figures)] if lines else []


def written(figures):
    """What the limit in process wrote, so that everybody can judge whether it is the same."""
    said = [line for found in figures.of("write", 1000, CEILING, "ceiling", "said")[:1] for line in found]
    return ["The rows of a PUT, as written in process:", "", *(f"- `{line}`" for line in said), ""] if said else []


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


def disk(figures):
    lines, parts = [], []
    for rows, name, what in figures.series("disk"):
        bytes, given, search = (figures.median("disk", rows, name, what, key)
                                for key in ("bytes", "json_bytes", "search_bytes"))
        without = (bytes - search) / given if search is not None else None
        lines.append([f"{rows:,}", name, f"{bytes / 1e6:,.1f}", f"{bytes / rows:,.0f}", f"{bytes / given:.3f}",
                      text(without, "{:.3f}")])
        parts += [[f"{rows:,}", part, f"{size / 1e6:,.1f}", f"{size / rows:,.1f}", f"{size / given:.3f}",
                   percent(found["unused"][part] / size)]
                  for found in figures.results_of("disk", rows, name) if "parts" in found
                  for part, size in sorted(found["parts"].items(), key=lambda one: -one[1]) if size > bytes / 1000]
    if not lines:
        return []
    heads = ["rows", "server", "MB", "bytes a referral", "of the JSON", "of the JSON, without the search index"]
    detail = ["rows", "table or index of Cosell", "MB", "bytes a referral", "of the JSON", "empty in its pages"]
    return ["## Disk", "", *table(heads, lines), *table(detail, parts)]


def postgres(figures):
    lines = []
    for rows, name, what in figures.series("postgres"):
        rates = figures.of("postgres", rows, name, what, "per_second")
        lines.append([name, f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
                      text(figures.median("postgres", rows, name, what, "per_processor_second")),
                      text(figures.median("postgres", rows, name, what, "server_processors"), "{:.2f}"),
                      figures.remarks("postgres", rows, name, what)])
    if not lines:
        return []
    heads = ["what", "per second (min–max)", "per processor-second of PostgreSQL and server", "their processors",
             "remarks"]
    said = {found["postgres"] for found in figures.results if "postgres" in found}
    said = [f"PostgreSQL {line}; all else by default.\n" for line in said]
    return [f"## PostgreSQL, {CONNECTIONS} clients", "", *said, *table(heads, lines)]


def large(figures):
    lines = []
    for rows, name, what in figures.series("large"):
        p50, p99, mean, errors = (figures.median("large", rows, name, what, key)
                                  for key in ("p50_us", "p99_us", "mean_us", "errors"))
        found = [figures.of("large", rows, name, what, f"{share}_bucket_us")[:1] for share in ("p50", "p99")]
        buckets = [", ".join(f"{low:,.0f}–{high:,.0f}" for low, high in bounds) for bounds in found]
        bare = errors is None
        lines.append([what, f"{p50:,.0f}", buckets[0], f"{p99:,.0f}", buckets[1], text(mean),
                      "4 KiB, past the page cache" if bare else figures.remarks("large", rows, name, what)])
    heads = ["what", "p50 µs", "its bucket", "p99 µs", "its bucket", "mean µs", "remarks"]
    return ["## A table larger than memory", "", "Times in the server, by its own histogram.", "",
            *table(heads, lines)] if lines else []


def weight(figures):
    found = next((result for result in figures.results if result["suite"] == "weight"), None)
    if not found:
        return []
    total = found["functions_bytes"]
    crates = [[name, f"{size / 1e6:.2f}", percent(size / total)] for name, size in found["crates"].items()]
    functions = [[f"`{name[:110]}`", f"{size / 1000:,.0f}"] for size, name in found["functions"]]
    size = f"{found['bytes'] / 1e6:.1f} MB, {found['loaded_bytes'] / 1e6:.1f} MB without symbols"
    return ["## The program", "", f"{size}; functions {total / 1e6:.1f} MB.", "",
            *table(["functions of", "MB", "share"], crates), *table(["function", "KB"], functions)]


def report(facts, results, missing):
    figures = Figures(results)
    lines = [f"# Figures of {facts['date']}", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in facts.items() if name != "date"]
    lines += [f"- {peer} was not measured, or not in every round: {why}" for peer, why in missing.items()]
    lines += ["", "Medians; the range over the rounds in brackets.", ""]
    lines += reads(figures, "read", BARE, f"## GET by id, {CONNECTIONS} connections")
    lines += writes(figures) + starts(figures)
    lines += lists(figures, "list", f"## Lists: the 50 newest of a filter, {CONNECTIONS} connections")
    lines += lists(figures, "page", "## Lists: pages")
    lines += lists(figures, "search", "## Lists: search")
    lines += lists(figures, "apply", "## Lists: aggregation")
    lines += disk(figures) + postgres(figures) + large(figures) + weight(figures)
    reached = targets.lines(figures)
    if reached:
        lines += ["## Targets", "", JUDGED, "", *table(targets.HEADS, reached)]
        foreign = max((result.get("foreign_processors", 0) for result in results), default=0)
        lines.append(f"Other programs used up to {foreign:.2f} of a processor" + (
            ": **more than 0.2; measure again on a quiet machine.**" if foreign > 0.2 else "."))
    return "\n".join(lines)
