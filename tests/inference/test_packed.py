"""One file of several members is an archive that cannot hold more than it weighs."""

from __future__ import annotations

import io
import warnings
import zipfile

import pytest

from cvexp.errors import WeightsError
from cvexp.inference.packed import packed, unpacked

MEMBERS = {"a.xml": b"<net/>", "b.bin": bytes(1000)}


def test_members_come_back_and_the_same_members_give_the_same_bytes():
    assert packed(MEMBERS) == packed(MEMBERS)
    assert unpacked(packed(MEMBERS), MEMBERS, origin="m", remedy="") == MEMBERS


def archive(*members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of a name that is there already
        for name in members:
            file.writestr(name, MEMBERS.get(name, b"x"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        archive("a.xml"),
        archive("a.xml", "b.bin", "../c"),
        archive("a.xml", "b.bin", "b.bin"),
        archive(*MEMBERS, compression=zipfile.ZIP_DEFLATED),
    ],
    ids=["one missing", "one more", "one twice", "compressed"],
)
def test_other_archives_are_refused(content):
    with pytest.raises(WeightsError, match=r"m does not hold a\.xml, b\.bin alone, uncompressed") as caught:
        unpacked(content, MEMBERS, origin="m", remedy="export again")
    assert caught.value.hints == ("export again",)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", packed(MEMBERS)[:-30], packed(MEMBERS).replace(b"<net/>", b"<nat/>")]
)
def test_damaged_archives_are_refused(content):
    with pytest.raises(WeightsError, match="or is damaged"):
        unpacked(content, MEMBERS, origin="m", remedy="")
