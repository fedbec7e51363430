"""Several named members in one file: a zip archive that is not compressed, so that its size bounds theirs."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from cvexp.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def packed(members: Mapping[str, bytes]) -> bytes:
    """The archive of `members`; the same members give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def unpacked(content: bytes, names: Collection[str], *, origin: str, remedy: str) -> dict[str, bytes]:
    """The members of an archive, which are read in memory and never written to paths.

    Raises:
        WeightsError: It is none, or damaged, compressed, or has other members than `names`, each once.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            is_plain = all(one.compress_type == zipfile.ZIP_STORED for one in infos)
            fits = sum(one.file_size for one in infos) <= len(content)
            if is_plain and fits and sorted(one.filename for one in infos) == sorted(names):
                return {one.filename: archive.read(one) for one in infos}
    except Exception as error:  # zipfile raises anything for damaged archives
        raise WeightsError(f"{origin} is no archive as cvexp writes them, or is damaged", remedy) from error
    raise WeightsError(f"{origin} does not hold {', '.join(names)} alone, uncompressed", remedy)
