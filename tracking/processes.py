"""Processes of this machine: their names across machines, and the memory of a process with its children."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def host() -> str:
    """This machine's name, in characters that are safe in an MLflow search condition."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())


def this_process() -> str:
    """This process as `host:pid`."""
    return f"{host()}:{os.getpid()}"


def process_alive(name: str) -> bool:
    """Whether the process `host:pid` exists on this machine; False for processes of other machines."""
    machine, _, pid = name.rpartition(":")
    if machine != host() or not pid.isdigit():
        return False
    if os.name == "nt":
        return True  # os.kill would end the process on Windows
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def process_tree(root: psutil.Process) -> list[psutil.Process]:
    """The process and its descendants; only the process once it has ended."""
    import psutil

    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return [root]


def tree_memory_bytes(root: psutil.Process) -> int:
    """Resident memory of the process and its descendants; 0 once it has ended."""
    import psutil

    total = 0
    for process in process_tree(root):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total
