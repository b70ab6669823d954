"""What the machine and its processes are doing: read from /proc."""
import os
import platform
import re
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A server did not do what was asked."""


def tree(pid):
    """The process and all its descendants."""
    found = [pid]
    for process in found:
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                pass  # the thread ended meanwhile
    return found


def processor_seconds(pid, ended=False):
    """User and system time that a process and its descendants have used; `ended`: those that are gone too, which the
    process has waited for."""
    ticks = 0
    for process in tree(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
        if ended and process == pid:
            ticks += int(fields[13]) + int(fields[14])
    return ticks / TICKS


def anonymous_mb(pid):
    """Resident anonymous memory of a process and its descendants: heap and stacks, without mapped files."""
    kilobytes = 0
    for process in tree(pid):
        try:
            found = re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{process}/status").read_text(), re.M)
        except OSError:
            continue
        kilobytes += int(found[1]) if found else 0
    return kilobytes / 1024


def busy_seconds():
    """Processor time that everything on the machine has used; what a hypervisor takes away counts too."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / TICKS


def wait_for_quiet():
    """Waits until all programs together use less than 0.15 of a processor, for so many seconds at most."""
    end = time.monotonic() + wait_for_quiet.limit
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(0.4)
        if (busy_seconds() - before) / 0.4 < 0.15:
            return


wait_for_quiet.limit = 6.0


def into_page_cache(directory):
    """Reads every file of a directory."""
    room = bytearray(1 << 20)
    for path in Path(directory).rglob("*"):
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                while file.readinto(room):
                    pass


def output(*command, cwd=None):
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
        return (done.stdout.strip() or done.stderr.strip()).splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def description(work, cosell):
    """One line each on what the figures depend on."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
    here = Path(__file__).parent
    changed = output("git", "status", "--porcelain", "--", "../../crates", cwd=here) != "unknown"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": model[1] if model else platform.machine(),
        "processors": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 1024 / 1024, 1) if memory else None,
        "kernel": platform.release(),
        "file_system": output("stat", "-f", "-c", "%T", str(work)),
        "cosell": output(cosell, "--version"),
        "commit": output("git", "rev-parse", "--short", "HEAD", cwd=here) + (" with changes" if changed else ""),
        "rustc": output("rustc", "--version"),
    }
