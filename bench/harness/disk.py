"""The disk that a table takes, held against its JSON."""
import json
import subprocess

from .machine import Failed
from .servers import COSELL

SEARCH = "search_"  # the tables of the search index, and its like


def measured(work, target, rows):
    """Bytes of the files; of Cosell's database also by table."""
    directory = work.data(rows) / target.data
    bytes = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file() and file.suffix != ".db-shm")
    # A line of the file is one document and its end.
    found = {"bytes": bytes, "json_bytes": (work.data(rows) / "dataset" / "rows.jsonl").stat().st_size - rows}
    if target.name == COSELL:
        found |= by_table(work, directory / "cosell.db", rows)
    return found


def by_table(work, database, rows):
    command = [work.programs / "ceiling", "--what", "pages", "--table", database]
    counted = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if counted["referrals"] != rows or counted["entries"] != rows:
        raise Failed(f"{database} has {counted['referrals']} referrals and {counted['entries']} entries in its log, "
                     f"not {rows} of each")
    parts = {name: part["bytes"] for name, part in counted["parts"].items()}
    unused = {name: part["unused"] for name, part in counted["parts"].items()}
    search = sum(bytes for name, bytes in parts.items() if name.startswith(SEARCH))
    return {"search_bytes": search, "parts": parts, "unused": unused}
