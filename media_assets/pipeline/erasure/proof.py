"""The proof of an erasure: everything is read again and searched for what was erased.

Searched for are pieces of the original bytes, which were taken before they were deleted and are held in memory only,
and what names the files: identifiers, checksums, names of uploads. Read are every object of the library, every row of
its tables and of the ledger, Dagster's databases, and every file of the state folder and of the scratch folder, free
pages of databases included.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from media_assets.media.errors import MediaError
from media_assets.pipeline.erasure.local_files import files_of
from media_assets.pipeline.erasure.rows import all_rows, selected
from media_assets.pipeline.library import Library
from media_assets.storage import keys
from media_assets.storage.erasure_records import ErasedUpload, ErasurePlan
from media_assets.storage.errors import ObjectMissing, StorageError
from media_assets.storage.objects import READ_CHUNK_BYTES, SPOOL_FOLDER
from media_assets.storage.schemas import TABLES
from media_assets.storage.traces import PIECES, Needles, pieces_of

_MANY_FILES = 10_000
_FEWER_PIECES = 2
_MOST_READ = 512 * 2**20  # of one original: enough to choose pieces from


@dataclass
class Proof:
    """What the search came to.

    Attributes:
        left: Where something is left: keys of objects, names of tables and files.
        searched: How much was read, by kind of thing.
        shared: Objects of other files that have bytes in common with erased ones: edited copies of the same picture.
    """

    left: list[str] = field(default_factory=list)
    searched: Counter[str] = field(default_factory=Counter)
    shared: int = 0


def take_pieces(library: Library, plan: ErasurePlan) -> tuple[set[bytes], int]:
    """Return pieces of the originals and rejected bytes that are to be deleted, and from how many objects they are.

    What an erasure that was interrupted has deleted already is read from the inbox, where it is still there.

    Raises:
        StorageError: The store could not be read.
    """
    pieces: set[bytes] = set()
    read: set[str | None] = set()
    objects = 0
    count = PIECES if len(plan.media_ids) < _MANY_FILES else _FEWER_PIECES
    kept = {one.sha256 for one in plan.contents if one.heir is not None}
    gone = {one.sha256 for one in plan.contents} - kept
    for key in _stored(library, plan, gone):
        data = b"".join(_first(library.store.chunks(key), _MOST_READ))
        pieces.update(pieces_of(data, count))
        objects += 1
        read.add(keys.content_of(key))
    for upload in plan.uploads:
        if upload.sha256 in gone and upload.sha256 not in read:
            uploaded = _uploaded(library, upload)
            if uploaded is None:
                continue
            pieces.update(pieces_of(uploaded, count))
            objects += 1
            read.add(upload.sha256)
    return pieces, objects


def _uploaded(library: Library, upload: ErasedUpload) -> bytes | None:
    """The bytes of an upload, where its inbox still shows this very version."""
    path = library.store.scratch_dir() / f"erasure-{secrets.token_hex(8)}"
    try:
        inbox = library.inbox(upload.inbox)
        inbox.fetch(upload.source_key, upload.etag, upload.size_bytes, path, upload.size_bytes)
        with path.open("rb") as file:
            return file.read(_MOST_READ)
    except (StorageError, MediaError, FileNotFoundError):
        return None  # gone, another version, or the inbox is away
    finally:
        path.unlink(missing_ok=True)


def _stored(library: Library, plan: ErasurePlan, gone: Collection[str]) -> Iterator[str]:
    owners = sorted({one.owner for one in plan.contents})
    for folder in [*map(keys.originals_folder, owners), *map(keys.quarantine_folder, owners)]:
        for info in library.store.list(folder):
            if keys.content_of(info.key) in gone:
                yield info.key


def _first(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    read = 0
    for chunk in chunks:
        yield chunk
        read += len(chunk)
        if read >= most:
            return


def search(
    library: Library,
    plan: ErasurePlan,
    names: Collection[str],
    pieces: Collection[bytes],
    *,
    places: Iterable[Path],
    others: Callable[[Collection[str]], list[str]],
) -> Proof:
    """Read everything and return where something is left of an erasure.

    Args:
        library: The library.
        plan: What was erased.
        names: See :func:`media_assets.pipeline.erasure.plan.names_of`.
        pieces: See :func:`take_pieces`.
        places: Files and folders of this machine that are read.
        others: Called with the names; returns where they are left outside library, ledger and files.

    Raises:
        StorageError: The library or the ledger could not be read.
    """
    proof = Proof()
    telling = Needles(name.encode("utf-8", "surrogatepass") for name in names)
    everything = Needles([*(name.encode("utf-8", "surrogatepass") for name in names), *pieces])
    proof.searched["pieces"] = len(set(pieces))
    proof.searched["names"] = len(set(names))
    _search_objects(library, plan, everything, telling, proof)
    for table in TABLES:
        for key, data in all_rows(library.store, table):
            proof.searched["rows"] += data.num_rows
            is_named = any(telling.find(text) for text in _texts(data))
            if is_named or pc.any(selected(data, plan.media_ids, plan.owner)).as_py():
                proof.left.append(key)
    proof.left += [f"ledger/{name}" for name in library.ledger.tables_naming(telling, plan.owner)]
    for path in sorted({file for place in places for file in files_of(place)}):
        proof.searched["files"] += 1
        if _is_in_file(path, everything, telling):
            proof.left.append(str(path))
    proof.left += others(names)
    proof.left = sorted(set(proof.left))
    return proof


def _search_objects(library: Library, plan: ErasurePlan, everything: Needles, telling: Needles, proof: Proof) -> None:
    store = library.store
    own = {keys.erasure_plan_key(plan.erasure_id)}
    outside = tuple(_outside(library))
    copies = {copy.path for copy in library.ledger.copies()}
    for info in store.list():
        if info.key in own or info.key.startswith(outside):
            continue
        proof.searched["objects"] += 1
        proof.searched["bytes"] += info.size_bytes
        try:
            found = everything.find_in(store.chunks(info.key))
        except ObjectMissing:
            continue
        text = info.key.encode("utf-8", "surrogatepass")
        if telling.find(text) or _belongs_to(info.key, plan):
            proof.left.append(info.key)
        elif found and info.key.startswith(f"{keys.ERASURES_FOLDER}/"):
            continue  # the plan of another erasure that goes on
        elif found:
            sha256 = keys.content_of(info.key)
            is_known = info.key in copies or (sha256 is not None and library.ledger.knows_content(sha256))
            if is_known and not any(telling.find(one) for one in found):
                proof.shared += 1
            else:
                proof.left.append(info.key)


def _belongs_to(key: str, plan: ErasurePlan) -> bool:
    if plan.owner is None:
        return False
    folders = (
        keys.originals_folder(plan.owner),
        keys.quarantine_folder(plan.owner),
        keys.shareable_folder(plan.owner),
        keys.people_edits_folder(plan.owner),
        keys.consents_folder(plan.owner),
        keys.reviews_folder(plan.owner),
    )
    return key.startswith(tuple(f"{folder}/" for folder in folders))


def _outside(library: Library) -> Iterator[str]:
    """Folders below the root of the library that are not the library's: inbox, what left it, and state."""
    settings = library.settings
    root = settings.library_url.rstrip("/")
    for url in (settings.inbox_url, settings.inbox_done_url, str(settings.state_dir)):
        if url.startswith(f"{root}/"):
            yield f"{url.removeprefix(f'{root}/').strip('/')}/"
    yield f"{SPOOL_FOLDER}/"


def _texts(data: pa.Table) -> Iterator[bytes]:
    """The bytes of all texts of a table, of nested ones too: those of a column lie behind one another."""
    for column in data.columns:
        for chunk in column.chunks:
            yield from (buffer.to_pybytes() for buffer in chunk.buffers() if buffer is not None)


def _is_in_file(path: Path, everything: Needles, telling: Needles) -> bool:
    if telling.find(str(path).encode("utf-8", "surrogateescape")):
        return True
    try:
        with path.open("rb") as file:
            return bool(everything.find_in(iter(lambda: file.read(READ_CHUNK_BYTES), b"")))
    except FileNotFoundError:
        return False
