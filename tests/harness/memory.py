# SPDX-License-Identifier: Apache-2.0
"""Reads another process's memory as a debugger would, and looks for byte strings in it. Needs root
(CAP_SYS_PTRACE): the roles are not dumpable."""

import os
import re
import struct

CHUNK = 4 << 20
SHADOW = 64 << 30  # a sanitizer's shadow is larger than any mapping of ours, and holds no data of the program
PAGE = os.sysconf("SC_PAGESIZE")
PRESENT = 1 << 63 | 1 << 62  # in memory, or in swap (Documentation/admin-guide/mm/pagemap)
HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)$")


def readable(pid):
    """Whether this process may read that one's memory."""
    try:
        with open(f"/proc/{pid}/mem", "rb"), open(f"/proc/{pid}/maps") as f:
            return bool(f.read())
    except OSError:
        return False


def mappings(pid):
    """(start, end, name) of everything that can hold data: all but unwritable file contents and shadows."""
    found = []
    with open(f"/proc/{pid}/maps") as f:
        for line in f.read().splitlines():
            start, end, rights, inode, name = HEAD.match(line).groups()
            start, end = int(start, 16), int(end, 16)
            if rights[0] != "r" or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]") or end - start > SHADOW:
                continue
            if int(inode) and "w" not in rights and "memfd:" not in name:
                continue
            found.append((start, end, name or "anonymous"))
    return found


def present(pagemap, start, end):
    """Runs of pages that exist."""
    pages = (end - start) // PAGE
    entries = struct.unpack(f"={pages}Q", os.pread(pagemap, pages * 8, start // PAGE * 8).ljust(pages * 8, b"\xff"))
    at = None
    for i, entry in enumerate(entries):
        if entry & PRESENT and at is None:
            at = i
        elif not entry & PRESENT and at is not None:
            yield start + at * PAGE, start + i * PAGE
            at = None
    if at is not None:
        yield start + at * PAGE, end


def chunks(pid):
    """(address, bytes, mapping's name); consecutive chunks of a run overlap by a page."""
    mem = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
    try:
        for start, end, name in mappings(pid):
            for low in range(start, end, 1 << 30):
                for a, b in present(pagemap, low, min(end, low + (1 << 30))):
                    for at in range(a, b, CHUNK):
                        try:
                            yield at, os.pread(mem, min(CHUNK + PAGE, b - at), at), name
                        except OSError:
                            continue  # unmapped meanwhile, or a device
    finally:
        os.close(mem)
        os.close(pagemap)


def secret_pages(pid):
    """The pages of struct ky_secret: nothing else is wiped when a process forks ("wf" in smaps)."""
    pages, bounds = [], None
    with open(f"/proc/{pid}/smaps") as f, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in f:
            head = HEAD.match(line)
            if head:
                bounds = int(head.group(1), 16), int(head.group(2), 16)
            elif line.startswith("VmFlags:") and "wf" in line.split():
                for at in range(*bounds, PAGE):
                    mem.seek(at)
                    pages.append(mem.read(PAGE))
    return pages


def scan(pid, needles):
    """{name: [where, ...]} of the needles (a dict of name to bytes) that are in the process's memory."""
    found = {}
    for address, data, mapping in chunks(pid):
        for name, needle in needles.items():
            at = data.find(needle)
            while at >= 0 and len(found.get(name, ())) < 20:
                around = data[max(0, at - 48):at + len(needle) + 48]
                found.setdefault(name, []).append(f"{address + at:#x} in {mapping}: {around!r}")
                at = data.find(needle, at + 1)
    return found
