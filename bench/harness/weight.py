"""How large the program is, and what is heavy in it. `weight PROGRAM` in this folder's parent prints it."""
import re
import subprocess
from collections import Counter
from pathlib import Path

from .machine import Failed

HEAVIEST = 15
# `<a::b as c::d>::e` and `a::b::e` belong to `a`; what has no path was compiled from C.
RUST = re.compile(r"^[<&*(\[]*(?:mut |dyn |const )*([a-z_][a-z0-9_]*)(?:\[[0-9a-f]+\])?::")
C_LIBRARIES = (("sqlite3", "SQLite (C)"), ("fts5", "SQLite (C)"), ("aws_lc", "aws-lc (C)"), ("ZSTD", "zstd (C)"),
               ("mi_", "mimalloc (C)"), ("_rjem", "jemalloc (C)"))


def measured(program):
    """Bytes of the file, of it without symbols, of its sections, and of functions by crate."""
    program = Path(program)
    sections = {}
    for line in run("size", "-A", program).splitlines():
        words = line.split()
        if len(words) == 3 and words[0].startswith("."):
            sections[words[0]] = int(words[1])
    crates, functions = Counter(), []
    for line in run("nm", "--size-sort", "--print-size", "--demangle", program).splitlines():
        words = line.split(None, 3)
        if len(words) == 4 and words[2] in "tTwW":
            size = int(words[1], 16)
            crates[crate(words[3])] += size
            functions.append((size, words[3]))
    if not crates:
        raise Failed(f"{program} has no symbols")
    return {"bytes": program.stat().st_size, "loaded_bytes": sum(size for name, size in sections.items()
            if not name.startswith((".debug", ".comment", ".symtab", ".strtab", ".bss", ".tbss"))),
            "sections": sections, "crates": dict(crates.most_common(HEAVIEST)), "functions_bytes": sum(crates.values()),
            "functions": sorted(functions, reverse=True)[:HEAVIEST]}


def crate(symbol):
    found = RUST.match(symbol)
    if found:
        return found[1]
    for prefix, name in C_LIBRARIES:
        if prefix in symbol:
            return name
    return "other, mostly C (SQLite, aws-lc)"


def run(*command):
    try:
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise Failed(f"{command[0]}: {error} (binutils)") from error
