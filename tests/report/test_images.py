from __future__ import annotations

import pytest

from cvexp.data.progress import tell, told_to
from cvexp.report import images


@pytest.mark.parametrize("took", [0.5, 3.0])
def test_where_there_is_no_terminal_only_a_long_look_is_worth_a_line(took, capsys, monkeypatch):
    times = iter([100.0, 100.0 + took, 200.0, 200.5])
    monkeypatch.setattr(images.time, "monotonic", lambda: next(times))
    with told_to(images.ImagesBar()):
        tell("decoding", 0, 1234)
        tell("decoding", 600, 1234)
        tell("decoding", 1234, 1234)
        tell("reading", 0, 1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == ("decoding 1,234 images took 3.0 s\n" if took > 1 else "")


def test_nobody_has_to_listen():
    tell("decoding", 1, 2)
