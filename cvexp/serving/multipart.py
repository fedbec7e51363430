"""The files in a body of multipart/form-data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.serving.limits import Refusal

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_DISPOSITION = b"content-disposition"
_LONGEST_NAME = 200
_MOST_HEADER_BYTES = 8192


def files_in(content_type: str, body: bytes, *, most: int) -> list[tuple[str, bytes]]:
    """The name and content of each file in `body`; fields that are no files are left out.

    Raises:
        Refusal: 400 for a body that is not what `content_type` says, 413 for more than `most` files, 422 for none.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refusal(400, "the Content-Type of multipart/form-data names no boundary", "let your client write it")
    parts = _Parts(most)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise Refusal(400, f"the body is no multipart/form-data: {str(error)[:120]}", "send it whole") from error
    if not parts.is_whole:
        raise Refusal(400, "the body of multipart/form-data ends before its last boundary", "send it whole")
    if not parts.files:
        raise Refusal(422, "the form has no file", "for example: curl -F image=@photo.png")
    return parts.files


class _Parts:
    """Collects the parts of a form as the parser finds them."""

    def __init__(self, most: int) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.is_whole = False
        self._most = most
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._content: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._headers, self._content, self._name, self._value = {}, [], b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bound()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound()

    def _bound(self) -> None:
        if len(self._name) + len(self._value) > _MOST_HEADER_BYTES or len(self._headers) > 16:  # noqa: PLR2004
            raise Refusal(400, "a part of the form has too long a header", "send name and file name only")

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def _part_end(self) -> None:
        from python_multipart.multipart import parse_options_header

        name = parse_options_header(self._headers.get(_DISPOSITION, b""))[1].get(b"filename")
        if name is None:
            return
        if len(self.files) == self._most:
            raise Refusal(413, f"the form has more than {self._most:,} files", "send fewer at a time")
        self.files.append((name.decode("utf-8", "replace")[:_LONGEST_NAME], b"".join(self._content)))

    def _end(self) -> None:
        self.is_whole = True
