"""
What holds inside the sandbox: which system calls are denied, and the program around one snippet.

`sandbox` passes this text to `python -I -S -c`, so it imports nothing of undertow.
The kernel keeps the host safe: namespaces, read-only mounts, the filter of system calls, limits.
The audit hook is no protection: it only notices what the snippet tries, so that the ledger can say it.
It reports the first attempt and ends the process, so there is no exception to catch.

The report is a line `begun`, then either the name of an attempt, or the seal and how the snippet ended.
The seal is a secret of this run, and only a report that has it can say `ok`.
While the snippet runs, the seal lies on the interpreter's value stack, which Python code cannot read:
it is in no variable, frame, argument, environment or open file.
Code that corrupts the interpreter, e.g. by bytecode of its own making, may still find it.
It then has a row kept that should not be, and nothing of the host.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Callable

SEAL = 32
"""Bytes of the seal, which come before the source on standard input."""

ATTEMPTS = {
    "opened-socket": "socket",
    "started-process": "subprocess pty _thread os.fork os.forkpty os.exec os.posix_spawn os.spawn os.system",
    "wrote-files": "os.chmod os.chown os.link os.mkdir os.remove os.removexattr os.rename os.rmdir os.setxattr "
    "os.symlink os.truncate os.utime shutil sqlite3 tempfile",
    "tampered": "cpython.PyInterpreterState_New ctypes gc os.kill os.killpg resource signal sys.addaudithook sys.monitoring "
    "sys.setprofile sys.settrace",
}
"""Audit events by what they mean; one is named in full, or by the part before its first or last dot."""

UNSAFE_IMPORTS = frozenset(
    ["_ctypes", "_interpreters", "_testcapi", "_testinternalcapi", "_xxsubinterpreters"]
)
"""Modules that reach around the hook."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Audit architecture of the machines whose system calls are known (`linux/audit.h`)."""

DENIED = (
    # Starting processes and threads: clone, fork, vfork.
    {"x86_64": (56, 57, 58), "aarch64": (220,)},
    # Sockets: socket, socketpair.
    {"x86_64": (41, 53), "aarch64": (198, 199)},
    # Memory that no limit counts: shmget, semget, msgget, mq_open, memfd_create.
    {"x86_64": (29, 64, 68, 240, 319), "aarch64": (194, 190, 186, 180, 279)},
    # Other processes: ptrace, process_vm_readv, process_vm_writev, kcmp.
    {"x86_64": (101, 310, 311, 312), "aarch64": (117, 270, 271, 272)},
    # Namespaces and mounts: unshare, setns, mount, umount2, pivot_root, chroot.
    {"x86_64": (272, 308, 165, 166, 155, 161), "aarch64": (97, 268, 40, 39, 41, 51)},
    # Large parts of the kernel: bpf, perf_event_open, userfaultfd, add_key, request_key, keyctl.
    {"x86_64": (321, 298, 323, 248, 249, 250), "aarch64": (280, 241, 282, 217, 218, 219)},
    # Watching and opening by handle: fanotify_init, name_to_handle_at, open_by_handle_at.
    {"x86_64": (300, 303, 304), "aarch64": (262, 264, 265)},
)
"""System calls that kill the snippet, by machine (`asm/unistd.h`)."""

NEWEST = 424
"""System calls from here on do not exist inside; all machines number them alike, and libc does without."""


def system_call_filter(machine: str) -> bytes:
    """The filter for bubblewrap: a classic BPF program over `seccomp_data` (`linux/seccomp.h`)."""
    import struct  # the host's business; the snippet need not wait for it

    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    kill, unknown, allow = 0x80000000, 0x00050000 | errno.ENOSYS, 0x7FFF0000
    program = [(load, 0, 0, 4), (equal, 1, 0, MACHINES[machine]), (answer, 0, 0, kill)]
    program += [(load, 0, 0, 0), (at_least, 0, 1, NEWEST), (answer, 0, 0, unknown)]
    for number in (number for group in DENIED for number in group[machine]):
        program += [(equal, 0, 1, number), (answer, 0, 0, kill)]
    return b"".join(struct.pack("=HBBI", *each) for each in [*program, (answer, 0, 0, allow)])


def main() -> None:
    """Read the snippet, set limits and hook, run it, report."""
    channel, cpu_seconds, memory_bytes = map(int, sys.argv[1:])
    sys.argv[:] = ["snippet.py"]
    os.write(channel, b"begun\n")
    seals, source = _delivered()
    _limit(cpu_seconds, memory_bytes)
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    sys.addaudithook(_hook(channel))
    # Functions and arguments are evaluated before the snippet starts: what it replaces is not
    # looked up again, and the seal is on the value stack and nowhere else while it runs.
    os._exit(0 * os.write(channel, seals.pop() + _ending(source, module.__dict__)))


def _delivered() -> tuple[list[bytes], bytes]:
    parts = []
    while part := os.read(0, 1 << 16):
        parts.append(part)
    # The snippet could rewind standard input and read the seal: put an empty one in its place.
    empty, writable = os.pipe()
    os.dup2(empty, 0)
    os.close(empty)
    os.close(writable)
    data = b"".join(parts)
    return [data[:SEAL]], data[SEAL:]


def _limit(cpu_seconds: int, memory_bytes: int) -> None:
    # Address space bounds memory, as there is one process and nothing writable.
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    for none in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK):
        resource.setrlimit(none, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


def _ending(source: bytes, scope: dict[str, object]) -> bytes:
    """Run the snippet; how it ended, `ok` only where `exec` came back."""
    try:
        exec(compile(source.decode(), "<snippet>", "exec", dont_inherit=True), scope)
    except MemoryError:
        return b"too-much-memory"
    except BaseException as error:
        said = f"crashed {type(error).__name__}: {error}"
        return said[:200].encode("ascii", "backslashreplace")
    return b"ok"


def _hook(channel: int) -> Callable[[str, tuple[object, ...]], None]:
    """The audit hook; it looks nothing up where the snippet could change it, and keeps nothing that can change."""
    attempts = tuple((kind, frozenset(names.split())) for kind, names in ATTEMPTS.items())
    # A name like `<string>` is no file: the interpreter looks for the lines of a syntax error there.
    harmless = ("<", sys.base_prefix + "/", "/usr/", *(path + "/" for path in sys.path))
    unsafe, writing, write, leave, show = UNSAFE_IMPORTS, WRITING, os.write, os._exit, ascii
    kind_of, text, number, starts, apart = type, str, int, str.startswith, frozenset.isdisjoint
    before, after, size = str.partition, str.rpartition, len

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        about = arguments[0] if size(arguments) else None
        names = (event, before(event, ".")[0], after(event, ".")[0])
        attempt = None
        for kind, events in attempts:
            if not apart(events, names):
                attempt = kind
        if event == "open" and kind_of(about) is not number:
            flags = arguments[-1]
            if kind_of(flags) is not number or flags & writing:  # type: ignore[operator]
                attempt = "wrote-files"
            elif kind_of(about) is not text or not starts(about, harmless):  # type: ignore[arg-type]
                attempt = "read-files"
        elif event == "import" and kind_of(about) is text and about in unsafe:
            attempt = "tampered"
        if attempt:
            told = show(about) if kind_of(about) is text else ""
            write(channel, f"{attempt} {event} {told}"[:200].encode("ascii", "replace"))
            leave(1)

    return hook


if __name__ == "__main__":
    main()
