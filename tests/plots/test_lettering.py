from __future__ import annotations

from cvexp.plots.lettering import elided, in_two_lines, lines_within, text_inches

SIZE = 8.5


def test_lines_are_no_wider_than_asked_and_lose_no_word():
    words = "Trained on a CPU with a long name, 2 threads, batch 32, 3 epochs, 60,000 images"
    lines = lines_within(words, 1.5, SIZE)
    assert len(lines) > 1
    assert " ".join(lines) == words
    assert all(text_inches(line, SIZE) <= 1.5 for line in lines)


def test_a_long_name_keeps_both_of_its_ends():
    short = elided("tinyvgg-hidden-units-of-many-kinds-and-a-seed-41", 1.0, SIZE)
    assert text_inches(short, SIZE) <= 1.0
    assert short.startswith("tiny")
    assert short.endswith("41")
    assert "…" in short
    assert elided("mlp", 1.0, SIZE) == "mlp"


def test_a_label_has_two_lines_at_most():
    label = in_two_lines("tinyvgg hidden_units=32 lr=0.01 optimizer=adamw weight_decay=0.0005 #7", 1.6, SIZE)
    first, second = label.split("\n")
    assert first == "tinyvgg hidden_units=32"
    assert second.endswith("#7")
    assert max(text_inches(line, SIZE) for line in (first, second)) <= 1.6
