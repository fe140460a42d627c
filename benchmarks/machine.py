"""What a report says of the machine and of what was measured on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from streams.kafka_broker import DEPLOY, java_version

ROOT = Path(__file__).parent.parent


def machine() -> str:
    """Cores, memory and system."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({_cpu()}), {memory_gib:.0f} GiB, {platform.system()}"


def java() -> str:
    found = java_version()
    return f"Java {found}" if found else "no Java"


def kafka() -> str:
    """The version of Apache Kafka that deploy/kafka/pom.xml names."""
    return re.findall(r"<kafka\.version>(.+?)<", _text(DEPLOY / "pom.xml"))[0]


def commit() -> str:
    """The commit that is checked out, and whether files differ from it; a report of figures does not count."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/figures.md")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name} and changes" if changed else name


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _cpu() -> str:
    found = re.search(r"model name\s*:\s*(.+)", _text(Path("/proc/cpuinfo")))
    return found[1] if found else platform.machine()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
