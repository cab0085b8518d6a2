"""Push the records of a run to the Hub during the run, as chunks of Parquet with a card.

`pushed.jsonl` in the run directory records every chunk before and after it is sent, so a launch after a kill sends exactly
the remaining records. A failure of the Hub never ends the run: its records stay in the directory, and the next push sends them.
"""

import hashlib
import logging
import tempfile
import threading
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from self_instruct.datasets.card import Parts, Stated, read_stated
from self_instruct.datasets.history import Declared, Step, history
from self_instruct.datasets.publish import HubFailed, Upload, call_hub, card_of, create_repository, push
from self_instruct.datasets.reading import Source
from self_instruct.datasets.repository import CARD, CHATS, RECORDS, Statistics, lay_out
from self_instruct.errors import UserError
from self_instruct.runs.files import AppendedFile, line_reader, read_lines
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.layout import ACCEPTED, PUSHED

_PARTS = Parts("data/train-*.parquet", "chat/train-*.parquet")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chunk:
    """The `records` records from number `first` on, with the hash of their lines.

    `last` is true for the push at the end of a launch. `commit` is the URL of the commit, empty until it is made.
    """

    repo: str
    first: int
    records: int
    sha256: str
    last: bool = False
    commit: str = ""

    @property
    def mark(self) -> str:
        """A mark that identifies the commit; every process that tries this chunk computes the same."""
        return hashlib.sha256(
            f"{self.repo} {self.first} {self.records} {self.last} {self.sha256}".encode()
        ).hexdigest()


_read = line_reader(
    Chunk, {"repo": str, "first": int, "records": int, "sha256": str, "last": bool, "commit": str}, "a chunk"
)


@dataclass
class Pushed:
    """The result of pushing: the number of records on the Hub, the commits of this launch and the URL of the last one, and the
    number of records that are `left` to push, with the error that prevented it.
    """

    records: int = 0
    commits: int = 0
    commit: str = ""
    left: int = 0
    error: str = ""


@dataclass
class Pusher:
    """An observer of the run in `folder` that pushes its records to `repo`, each time that `every` new ones are accepted.

    `target` is the number of records that the whole run is to have.
    """

    folder: Path
    repo: str
    private: bool
    every: int
    target: int
    declared: Declared
    _chunks: list[Chunk] = field(default_factory=list)
    _pushed: Pushed = field(default_factory=Pushed)
    _statistics: Statistics | None = None
    _offset: int = 0
    _id: str = ""
    _stated: Stated = Stated()
    _thread: threading.Thread | None = None
    _tried: int = 0
    _refused: bool = False

    def begin(self) -> None:
        """Read which records are on the Hub, and check that the repository can be written.

        Raises UserError if it cannot, or if it holds another dataset. If the Hub fails, the first push checks again.
        """
        path = self.folder / PUSHED
        noted = read_lines(path, _read).found if path.exists() else []
        self._chunks = list({chunk.mark: chunk for chunk in noted if chunk.repo == self.repo}.values())
        self._pushed.records = self._tried = sum(chunk.records for chunk in self._chunks if chunk.commit)
        try:
            self._check_repository()
        except HubFailed as error:
            _log.warning("%s. The run continues, and its records are pushed later.", error)

    def update(self, funnel: Funnel, _: float) -> None:
        """Push in the background if enough records are new, unless a push is running or failed by a mistake of the user."""
        busy = self._thread is not None and self._thread.is_alive()
        if self._refused or busy or funnel.accepted - self._tried < self.every:
            return
        self._tried = funnel.accepted
        ready = (funnel.accepted - self._pushed.records) // self.every * self.every
        self._thread = threading.Thread(target=self._attempt, args=(ready, funnel.table()), daemon=True)
        self._thread.start()

    def finish(self, interrupted: bool) -> Pushed:
        """Push the remaining records with the final card, unless the launch was interrupted. Return the result."""
        if self._thread is not None and not interrupted:
            self._thread.join()
        path = self.folder / ACCEPTED
        held = path.read_bytes().count(b"\n") if path.is_file() else 0
        if held and not interrupted and not self._refused:
            self._attempt(held - self._pushed.records, "")
        self._pushed.left = held - self._pushed.records
        if interrupted and self._pushed.left:
            self._pushed.error = (
                f"--push_to_hub {self.repo}: the launch was interrupted; to push the rest, run the same command again"
            )
        return self._pushed

    def _attempt(self, ready: int, funnel: str) -> None:
        """Push `ready` records, and keep the error if that fails. `funnel` is the table of an unfinished run, else empty."""
        try:
            self._push(ready, funnel)
            self._pushed.error = ""
        except (UserError, HubFailed, OSError) as error:
            self._pushed.error, self._refused = str(error), isinstance(error, UserError)
            if funnel:
                _log.warning("%s. The run continues.", error)

    def _push(self, ready: int, funnel: str) -> None:
        self._check_repository()
        if self._statistics is None:
            self._count_earlier()
        begun = self._chunks[-1] if self._chunks else None
        if begun is not None and not begun.commit:  # it may be on the Hub: send exactly the same again
            ready -= begun.records
            self._send(begun, funnel, unsure=True)
        if ready > 0 or not (funnel or (self._chunks and self._chunks[-1].last)):
            content, ready = self._lines(self._offset, max(ready, 0))
            sha256 = hashlib.sha256(content).hexdigest()
            self._send(Chunk(self.repo, self._pushed.records, ready, sha256, not funnel), funnel, unsure=False)

    def _check_repository(self) -> None:
        """Create the repository if needed. Raises UserError if it cannot be written, or has data that this run did not push."""
        if self._id:
            return
        name, names, self._stated = call_hub(lambda: _open_repository(self.repo, self.private), self.folder, self.repo)
        if not self._chunks:
            data = sorted(name for name in names if name.startswith(("data/", "chat/")))
            if data:
                raise UserError(
                    f"--push_to_hub {self.repo}: the repository holds another dataset ({data[0]}), and the records of the "
                    "run would be mixed with it; give another repository"
                )
        self._id = name

    def _count_earlier(self) -> None:
        """Count the records that are on the Hub, for the card. Raises UserError if the run no longer begins with them."""
        self._statistics = None
        offset, statistics = 0, Statistics()
        for chunk in self._chunks:
            content, records = self._lines(offset, chunk.records)
            if (records, hashlib.sha256(content).hexdigest()) != (chunk.records, chunk.sha256):
                raise UserError(
                    f"--push_to_hub {self.repo}: records {chunk.first} to {chunk.first + chunk.records - 1} of the run have "
                    "changed since they were pushed; give another repository"
                )
            if chunk.commit and records:
                offset += len(content)
                self._lay_out(content, chunk.first, None, statistics)
        self._offset, self._statistics = offset, statistics

    def _send(self, chunk: Chunk, funnel: str, *, unsure: bool) -> None:
        """Record the chunk in `pushed.jsonl`, push its tables and the card, and record the commit."""
        assert self._statistics is not None
        content, _ = self._lines(self._offset, chunk.records)
        if not unsure:
            self._record(chunk)
            self._chunks.append(chunk)
        statistics = deepcopy(self._statistics)
        with tempfile.TemporaryDirectory() as name:
            files = self._lay_out(content, chunk.first, Path(name), statistics) if chunk.records else {}
            (Path(name) / CARD).write_bytes(self._card(statistics, funnel))
            files[CARD] = Path(name) / CARD
            upload = Upload(
                files,
                self.repo,
                self.private,
                self.folder,
                f"Records {chunk.first + chunk.records}",
                chunk.mark,
                unsure,
            )
            commit = push(upload)
        self._chunks[-1] = replace(chunk, commit=commit)
        self._record(self._chunks[-1])
        self._statistics, self._offset = statistics, self._offset + len(content)
        self._pushed.records += chunk.records
        self._pushed.commits += 1
        self._pushed.commit = commit

    def _record(self, chunk: Chunk) -> None:
        with closing(AppendedFile(self.folder / PUSHED, _read)) as journal:
            journal.append([asdict(chunk)])

    def _lines(self, offset: int, number: int) -> tuple[bytes, int]:
        """Return up to `number` lines of the run's records, from an offset in bytes, and how many they are."""
        found = list[bytes]()
        with (self.folder / ACCEPTED).open("rb") as file:
            file.seek(offset)
            while len(found) < number and (line := file.readline()).endswith(b"\n"):
                found.append(line)
        return b"".join(found), len(found)

    def _lay_out(self, content: bytes, first: int, folder: Path | None, statistics: Statistics) -> dict[str, Path]:
        """Count records, and write their tables to `folder` unless it is None. Return the tables by their names on the Hub."""
        with tempfile.TemporaryDirectory() as place:
            lines = Path(place) / ACCEPTED
            lines.write_bytes(content)
            _, files = lay_out(
                Source(str(lines)), folder or Path(place), "--push_every", write=folder is not None,
                statistics=statistics, first=first,
            )  # fmt: skip
        tables = {RECORDS: _PARTS.records, CHATS: _PARTS.chats}
        return {tables[name].replace("*", f"{first:09d}"): folder / name for name, _ in files if folder is not None}

    def _card(self, statistics: Statistics, funnel: str) -> bytes:
        """Return the card, which keeps facts that users added on the Hub. With a funnel, it describes an unfinished run."""
        steps, progress = history(self.folder, self.declared), ""
        if funnel:
            progress = f"This run is not finished: {statistics.records:,} of {self.target:,} records so far."
            steps = [*steps[:-1], *(_so_far(step, statistics.records, funnel) for step in steps[-1:])]
        parts = replace(_PARTS, progress=progress)
        return card_of(statistics, steps, self._stated, self._id.rpartition("/")[2], self._id, parts)


def _so_far(step: Step, records: int, funnel: str) -> Step:
    """Return the step of an unfinished run with current counts, because its report is of an earlier launch, or missing."""
    return replace(step, what=f"generated {records:,} records so far", funnel=funnel)


def _open_repository(repo: str, private: bool) -> tuple[str, list[str], Stated]:
    """Create the repository if needed. Return its full name, the names of its files, and the facts stated in its card."""
    from huggingface_hub import HfApi

    api, name = HfApi(), create_repository(repo, private)
    names = api.list_repo_files(name, repo_type="dataset")
    if CARD not in names:
        return name, names, Stated()
    with tempfile.TemporaryDirectory() as place:
        return name, names, read_stated(Path(api.hf_hub_download(name, CARD, repo_type="dataset", local_dir=place)))
