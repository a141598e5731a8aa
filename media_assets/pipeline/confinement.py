"""What a decoder process gives up before it reads the first byte of a file (DESIGN.md section 10; docs/security.md).

Resource limits everywhere; on Linux also namespaces, Landlock and capabilities, each where the kernel allows it. Lives
here: the system calls. Must not: know what a decoder does. Standard library only, nothing needs to be installed.
"""

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

SCRATCH_LIMIT_BYTES = 2 * 2**30
"""Largest file that a decoder may write: clips are encoded so that they stay below."""

OPEN_FILES = 128
"""File descriptors of one decoder process."""

# <linux/prctl.h>, <sched.h>, <linux/capability.h>, <linux/landlock.h>
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522
_CAPSET_NUMBERS = {"x86_64": 126, "aarch64": 91}
# Landlock has the same numbers on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_GET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_REG, _TRUNCATE = 1 << 8, 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_ALL_TCP = 3  # bind and connect, from ABI 4
_ALL_SCOPES = 3  # abstract UNIX sockets and signals, from ABI 6

_SYSTEM_READ = (
    *("/usr", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/ssl/openssl.cnf"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
    *("/dev/null", "/dev/zero", "/dev/urandom"),
)


def die_with_parent() -> None:
    """Ask Linux to kill this process when the run dies, so that ``kill -9`` of a run leaves no decoder behind.

    To be called after :func:`confine`: a change of credentials clears the wish (prctl(2)).
    """
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


ISOLATION = frozenset({"no_new_privileges", "user_namespace", "network_namespace", "landlock", "no_capabilities"})
"""What :func:`confine` puts in force on a Linux kernel that allows all of it."""


def confine(memory_bytes: int, work_folder: Path | None, readable: Sequence[Path] = ()) -> frozenset[str]:
    """Give up what a decoder does not need; there is no way back for this process.

    Args:
        memory_bytes: Address space of the process.
        work_folder: The only folder in which files may be made and, beside programs and libraries, be read. ``None``
            leaves files as they are.
        readable: Folders that may be read as well.

    Returns:
        Those of :data:`ISOLATION` that are in force. Kernels and containers differ; what they refuse is left out.
    """
    os.umask(0o077)
    _leave_the_working_folder()
    in_force: set[str] = set()
    if sys.platform == "linux":
        if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
            in_force.add("no_new_privileges")
        in_force |= _unshare()
        if work_folder is not None and _landlock(work_folder, readable):
            in_force.add("landlock")
        if _drop_capabilities():
            in_force.add("no_capabilities")
    # 1 and not 0: with 0, a kernel that pipes core files to a program still does (core(5)).
    _limit_for_good(resource.RLIMIT_CORE, 1 if sys.platform == "linux" else 0)
    _limit_for_good(resource.RLIMIT_FSIZE, SCRATCH_LIMIT_BYTES)
    _limit_for_good(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit_for_good(resource.RLIMIT_AS, memory_bytes)
    return frozenset(in_force)


def allow_cpu(seconds: float) -> None:
    """Allow ``seconds`` of CPU time from now on; then SIGXCPU ends the process.

    RLIMIT_CPU counts the whole life of the process, so the limit moves with each file and only the soft one can be set.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = int(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(ValueError, OSError):  # a stricter limit of the system stays
        resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _limit_for_good(kind: int, value: int) -> None:
    """Set soft and hard limit, so that the process cannot raise it again."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):  # a stricter limit of the system stays
        resource.setrlimit(kind, (value, value))


def _leave_the_working_folder() -> None:
    """Go to a folder that is gone: a relative path leads nowhere, for reading and for writing."""
    folder = tempfile.mkdtemp(prefix="decoder-")
    os.chdir(folder)
    with contextlib.suppress(OSError):  # systems that keep a folder which is in use: it is empty and private
        Path(folder).rmdir()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _unshare() -> set[str]:
    """Enter a user and a network namespace of our own: no interface is up in it, not even loopback.

    Without privileges a network namespace needs a user namespace. That one also keeps this process from tracing or
    signalling other processes of the user, and from reading their environment.
    """
    libc = _libc()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        return {"user_namespace", "network_namespace"}
    if libc.unshare(_CLONE_NEWNET) == 0:  # root in a container that forbids user namespaces
        return {"network_namespace"}
    return set()


def _drop_capabilities() -> bool:
    """Empty every capability set: those of root, and those that come with a user namespace."""
    number = _CAPSET_NUMBERS.get(platform.machine())
    if number is None:
        return False
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    return bool(_libc().syscall(number, header, bytes(24)) == 0)


# ---------------------------------------------------------------- Landlock (Documentation/userspace-api/landlock.rst)


def _landlock(work_folder: Path, readable: Sequence[Path]) -> bool:
    """Forbid every file but programs, libraries and the work folder; new TCP connections and signals as well."""
    libc = _libc()
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_GET_VERSION)
    if version < 1:
        return False
    handled = _RIGHTS_OF_ABI[max(abi for abi in _RIGHTS_OF_ABI if abi <= version)]
    attributes = struct.pack("<Q", handled)
    if version >= 4:
        attributes += struct.pack("<Q", _ALL_TCP)
    if version >= 6:
        attributes += struct.pack("<Q", _ALL_SCOPES)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    try:
        for path in (*_readable(), *map(str, readable)):
            _allow(ruleset, path, _READ & handled)
        _allow(ruleset, "/dev/null", (_READ_FILE | _WRITE_FILE) & handled)
        if not _allow(ruleset, str(work_folder), (_READ | _WRITE) & handled):
            return False
        return bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> bool:
    """Add a rule for a file or for all that lies below a folder; a path that is not there needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not Path(path).is_dir():
            rights &= _FILE_RIGHTS
        # struct landlock_path_beneath_attr is packed
        rule = struct.pack("<Qi", rights, descriptor)
        return bool(_libc().syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0) == 0)
    finally:
        os.close(descriptor)


def _readable() -> Iterable[str]:
    """Folders of programs, of libraries in use, and of modules that may be imported later."""
    package = Path(__file__).resolve().parents[1]
    # A checkout on the module path holds other things than modules: uploads perhaps.
    modules = {path for path in sys.path if "-packages" in path or (path and Path(path).resolve() != package.parent)}
    libraries = {str(Path(line.split(maxsplit=5)[5].strip()).parent) for line in _mapped_libraries()}
    return sorted({*modules, *libraries, str(package), sys.prefix, sys.base_prefix, *_SYSTEM_READ})


def _mapped_libraries() -> Iterable[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text("utf-8", "replace").splitlines():
            if ".so" in line and line.count("/") > 1:
                yield line
