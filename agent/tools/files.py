"""What the file tools share: finding a path, reading regular files only, knowing what was read, writing atomically."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

from agent.light_dataclass import dataclass
from agent.protocol.tools import FREE, ApprovalContext, ApprovalNeed, FileFingerprint
from agent.tools.sensitive_paths import is_sensitive_path

CHUNK_BYTES = 1 << 20
MAX_EDIT_BYTES = 16 << 20
SNIFF_BYTES = 8192


class FileToolError(Exception):
    """A file cannot be used as asked; the message says which, why, and what to do instead."""


# --- paths -----------------------------------------------------------------------------------------------------------


def resolve_path(raw: object, workspace: Path) -> Path:
    """The absolute path meant by `raw`, `~` expanded, symlinks followed. Raises FileToolError if it names nothing."""
    if not isinstance(raw, str) or not raw.strip():
        raise FileToolError("`path` is required: an absolute path, or one relative to the workspace.")
    if "\0" in raw:
        raise FileToolError("`path` has a NUL character.")
    return Path(os.path.realpath(_lexical(raw, workspace)))  # unlike Path.resolve, no error for a symlink loop


def path_subject(arguments: Mapping[str, Any], workspace: Path) -> str:
    """The resolved path of a call, for permission rules to match; "" if there is none."""
    try:
        return str(resolve_path(arguments.get("path"), workspace))
    except FileToolError:
        return ""


def path_changes(arguments: Mapping[str, Any], workspace: Path) -> tuple[Path, ...]:
    """The one file that a call changes."""
    path = path_subject(arguments, workspace)
    return (Path(path),) if path else ()


def display_name(path: Path, workspace: Path) -> str:
    """`path` relative to the workspace where it lies inside, for people to read."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(os.path.realpath(workspace)))
    return str(path)


def _lexical(raw: str, workspace: Path) -> str:
    """The absolute path as written, `..` removed, symlinks not followed."""
    return os.path.normpath(workspace / os.path.expanduser(raw))  # noqa: PTH111 - Path's raises for an unknown user


def missing_file_message(path: Path) -> str:
    """Says that `path` is not there, which part of it is missing, and what has a similar name. Blocking."""
    missing = path
    with contextlib.suppress(OSError):
        while missing.parent != missing and not missing.parent.exists():
            missing = missing.parent
    what = "" if missing == path else f" ({missing} does not exist)"
    return f"No such file: {path}{what}.{_near_names(missing)}"


def _near_names(path: Path) -> str:
    names: list[str] = []
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        names = [entry.name for entry, _ in zip(entries, range(5000), strict=False)]
    return near_names(path, names)


def near_names(path: Path, names: list[str]) -> str:
    """A sentence with those of `names`, which lie beside `path`, that may have been meant; "" if there is none."""
    near = [name for name in names if name.casefold() == path.name.casefold()]
    near += [n for n in difflib.get_close_matches(path.name, names, n=3, cutoff=0.6) if n not in near]
    return f" Similar names in {path.parent}: {', '.join(near[:3])}." if near else ""


def describe_os_error(error: OSError, path: Path, doing: str) -> str:
    """One sentence for the model: what could not be done with `path`, why, and what would help."""
    known = {
        errno.ENOSPC: "the disk is full; free some space and try again",
        errno.EDQUOT: "the disk quota is used up; free some space and try again",
        errno.EROFS: "the file system is read-only; choose another place",
        errno.EACCES: "permission denied; choose another place or ask for access",
        errno.EPERM: "the system does not permit it",
        errno.EISDIR: "it is a directory",
        errno.ENOTDIR: "a part of the path is a file, not a directory",
        errno.ELOOP: "its symbolic links lead in a circle",
        errno.ENAMETOOLONG: "the name is too long",
        errno.EFBIG: "the file would be larger than allowed here",
        errno.EBUSY: "it is in use, or mounted by itself; write to it with bash instead",
    }
    cause = known.get(error.errno or 0) or error.strerror or str(error)
    return f"Cannot {doing} {path}: {cause}."


# --- reading ---------------------------------------------------------------------------------------------------------


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file. Raises FileToolError for anything else: a FIFO or a device could block for ever."""
    try:
        _require_regular(path, path.stat().st_mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
    except FileNotFoundError as error:
        raise FileToolError(missing_file_message(path)) from error
    except OSError as error:
        raise FileToolError(describe_os_error(error, path, "read")) from error
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)  # it may have been exchanged meanwhile
    except FileToolError:
        file.close()
        raise
    return file


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a block device",
    }
    raise FileToolError(f"{path} is {kinds.get(stat.S_IFMT(mode), 'not a file')}, not a regular file.")


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in pieces of 1 MiB."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def binary_kind(start: bytes) -> str | None:
    """What the first bytes of a file say that it is, None for text."""
    magics = (
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"%PDF-", "a PDF document"),
        (b"PK\x03\x04", "a zip archive (also .npz, .pt, .docx, .whl)"),
        (b"\x1f\x8b", "gzip data"),
        (b"PAR1", "a Parquet table"),
        (b"ARROW1", "an Arrow file"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"SQLite format 3", "an SQLite database"),
        (b"\x7fELF", "a compiled program"),
        (b"\xff\xfe", "UTF-16 text; convert it with iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff", "UTF-16 text; convert it with iconv -f UTF-16 -t UTF-8"),
    )
    for magic, kind in magics:
        if start.startswith(magic):
            return kind
    return "of no known kind" if b"\0" in start[:SNIFF_BYTES] else None


def fingerprint_bytes(data: bytes) -> FileFingerprint:
    """The fingerprint of a file with this content."""
    return FileFingerprint(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file in memory. `text` has its own line ends but no BOM; bytes that are not UTF-8 became surrogates.

    `status` is None for a file on another machine.
    """

    text: str
    has_bom: bool
    status: os.stat_result | None
    fingerprint: FileFingerprint

    @property
    def is_crlf(self) -> bool:
        """Whether every line ends in CR LF."""
        return 0 < self.text.count("\n") == self.text.count("\r\n")

    def encode(self, text: str) -> bytes:
        """`text` as the new content of this file: its BOM, and its bytes that were not UTF-8, come back."""
        bom = b"\xef\xbb\xbf" if self.has_bom and not text.startswith("\ufeff") else b""
        return bom + text.encode("utf-8", "surrogateescape")


def load_text(path: Path) -> TextFile:
    """The whole of a text file of up to 16 MiB. Blocking. Raises FileToolError."""
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        data = file.read(MAX_EDIT_BYTES + 1)
    return text_of(data, path, status)


def text_of(data: bytes, path: Path, status: os.stat_result | None = None) -> TextFile:
    """The text file with this content, of which no more than 16 MiB and one byte are needed. Raises FileToolError."""
    if len(data) > MAX_EDIT_BYTES:
        raise FileToolError(
            f"{path} has more than {MAX_EDIT_BYTES >> 20} MiB; change it with a script instead, or remove it first."
        )
    kind = binary_kind(data[:SNIFF_BYTES])
    if kind:
        raise FileToolError(
            f"{path} is a binary file: {kind}. The file tools change text only; use a script, or remove it first."
        )
    has_bom = data.startswith(b"\xef\xbb\xbf")
    text = data[3 * has_bom :].decode("utf-8", "surrogateescape")
    return TextFile(text, has_bom, status, fingerprint_bytes(data))


# --- read before write -----------------------------------------------------------------------------------------------


def require_known(path: Path, actual: FileFingerprint, known: Mapping[Path, FileFingerprint]) -> None:
    """Raises FileToolError unless `actual`, the file's present fingerprint, is what this session last saw of it."""
    if path not in known:
        raise FileToolError(
            f"{path} exists, and has not been read in this session. Read it first, then do this again: what it holds "
            "may be worth keeping."
        )
    if known[path] != actual:
        raise FileToolError(
            f"{path} has changed since it was last read here, perhaps by the person. Read it again, then redo this on "
            "its present content."
        )


_locks: WeakValueDictionary[Path, threading.Lock] = WeakValueDictionary()
_locks_guard = threading.Lock()


@contextlib.contextmanager
def path_lock(path: Path) -> Iterator[None]:
    """Only one thread at a time changes a file: of two edits in one batch, the second works on the first's result."""
    with _locks_guard:
        lock = _locks.setdefault(path, threading.Lock())
    with lock:
        yield


# --- writing ---------------------------------------------------------------------------------------------------------


def atomic_write(path: Path, data: bytes, replaced: os.stat_result | None = None) -> None:
    """Put `data` at `path` so that it holds either the old or the new content, never a part. Blocking.

    Missing directories are made. An existing file keeps its mode and, where allowed, its owner; `path` should have its
    symlinks resolved. `replaced` is the status of the file the caller has looked at: if it is another by now, nothing
    is written. Raises FileToolError naming path and cause, with no temporary file left.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        status = _status(path)
        if status:
            _require_writable(path)
        descriptor, temporary = _create_temporary(path.parent, 0o600 if status else 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if status:
                _keep_owner_and_mode(descriptor, status)
            os.fsync(descriptor)
        if replaced and not _same(replaced, _status(path)):
            raise FileToolError(f"{path} was changed by someone else just now. Read it again, then redo this.")
        temporary.replace(path)
        temporary = None
        _sync_directory(path.parent)
    except OSError as error:
        raise FileToolError(describe_os_error(error, path, "write")) from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _require_writable(path: Path) -> None:
    """Raises OSError if the file itself may not be written: replacing it would go around its mode."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.ETXTBSY:  # a running program can be replaced, though not written
            raise


def _create_temporary(directory: Path, mode: int) -> tuple[int, Path]:
    # In the same directory, or the replacement could not be atomic. The mode of a new file is cut by the umask here.
    path = directory / f".ml-intern-{secrets.token_hex(8)}.tmp"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), path


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _same(before: os.stat_result, now: os.stat_result | None) -> bool:
    return now is not None and (before.st_ino, before.st_size, before.st_mtime_ns) == (
        now.st_ino,
        now.st_size,
        now.st_mtime_ns,
    )


def _keep_owner_and_mode(descriptor: int, status: os.stat_result) -> None:
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))  # after the owner: changing that drops setuid bits


def _sync_directory(directory: Path) -> None:
    # The content is safe by now; some file systems cannot sync a directory.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- approval --------------------------------------------------------------------------------------------------------

_RUNNING_DIRECTORIES = frozenset({".git", ".ssh", ".ml-intern", ".vscode", ".husky"})
_RUNNING_NAMES = frozenset(
    {
        *(".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".inputrc"),
        *(".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", "config.fish", ".envrc"),
        *(".gitconfig", ".npmrc", ".condarc", "sitecustomize.py", "usercustomize.py"),
    }
)
"""Files that a shell, git, an editor or Python runs of itself, or that tell them what to run."""


def outside_workspace_rule(arguments: Mapping[str, Any], context: ApprovalContext, tool: str = "write") -> ApprovalNeed:
    """Ask before `tool` changes a file outside the workspace (and the temp directory), or one that runs or unlocks.

    Looks only at names and symlinks. Arguments without a usable path need no question: the tool refuses them.
    """
    try:
        path = resolve_path(arguments.get("path"), context.workspace)
    except FileToolError:
        return FREE
    workspace = Path(os.path.realpath(context.workspace))
    # Also as written: a .bashrc that is a link to another name is still a .bashrc.
    for candidate in (path, Path(_lexical(str(arguments["path"]), workspace))):
        reason = _sensitive(candidate, workspace)
        if reason:
            return ApprovalNeed("ask", f"{candidate} {reason}")
    if any(path.is_relative_to(root) for root in (workspace, *_temp_roots())):
        return FREE
    return ApprovalNeed("ask", f"{path} is outside the workspace {workspace}", _always_rule(tool, path.parent))


def _sensitive(path: Path, workspace: Path) -> str | None:
    inside = path.relative_to(workspace) if path.is_relative_to(workspace) else path  # it may be in a .git itself
    if is_sensitive_path(inside):
        return "usually holds secrets"
    parts = [part.casefold() for part in inside.parts]  # a file system may not care about case
    if _RUNNING_DIRECTORIES.intersection(parts) or _RUNNING_NAMES.intersection(parts[-1:]):
        return "can make other programs run what it says"
    return None


def _temp_roots() -> list[Path]:
    # Not tempfile.gettempdir(): at its first call that one writes a file to try the directory.
    roots = {"/tmp", os.environ.get("TMPDIR") or "/tmp"}
    return [Path(real) for real in map(os.path.realpath, roots) if len(Path(real).parts) > 1]


def _always_rule(tool: str, directory: Path) -> str | None:
    """None where the rule would cover too much (the home directory, the root), or could not be written as a pattern."""
    home = Path(os.path.realpath(Path.home()))
    if home.is_relative_to(directory) or any(char in "*?[]()" for char in str(directory)):
        return None
    return f"{tool}({directory}/*)"
