"""Unpack streams compressed by gzip, bzip2, xz or zstd."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, cast

from self_instruct.errors import UserError


def _zstd(stream: BinaryIO) -> BinaryIO:
    import pyarrow as pa

    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd"))


_FORMS: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": lambda stream: cast(BinaryIO, gzip.GzipFile(fileobj=stream)),
    b"BZh": lambda stream: cast(BinaryIO, bz2.BZ2File(stream)),
    b"\xfd7zXZ\x00": lambda stream: cast(BinaryIO, lzma.LZMAFile(stream)),
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""First bytes of compressed files, each with the function that unpacks the file."""
ENDINGS = (".gz", ".bz2", ".xz", ".zst")


def unpacker(head: bytes) -> Callable[[BinaryIO], BinaryIO] | None:
    """Return the function that unpacks a stream with these first bytes; None if it is not compressed."""
    return next((unpack for sign, unpack in _FORMS.items() if head.startswith(sign)), None)


def read(stream: BinaryIO, size: int, where: str) -> bytes:
    """Read from a stream that may be compressed. Raises UserError, which begins with `where`, if compressed data is damaged."""
    try:
        return stream.read(size)
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        kind = "gzip" if isinstance(error, zlib.error | gzip.BadGzipFile) else "gzip, bzip2, xz or zstd"
        raise UserError(
            f"{where}: the {kind} data is cut or damaged ({error}); fetch or write the file again"
        ) from None
