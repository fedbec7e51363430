from __future__ import annotations

import numpy as np
import pytest

from cvexp.stats import Arm, Difference, Verdict, arms_verdict, population_text, verdict_text, win_share_text


def said(kind, mean, low, high, *, low90=-1.0, high90=1.0, n_seeds=(5, 5), n_images=10_000, paired=True, **others):
    difference = Difference(
        mean=mean, low=low, high=high, df=4.0, paired=paired, n_seeds=min(n_seeds), n_images=n_images
    )
    given = {"low90": low90, "high90": high90, "margin": 0.005, "n_seeds": n_seeds, **others}
    return Verdict(kind=kind, difference=difference, **given)


CASES = {
    "better": (
        said("better", 0.0124, 0.0041, 0.0207),
        (
            "tinyvgg is better than mlp: +1.24 points (95% 0.41 to 2.07); 5 seeds, 10,000 images; "
            "retrained on the same training data, new images"
        ),
    ),
    "worse, the better one first": (
        said("worse", -0.0124, -0.0207, -0.0041, n_seeds=(5, 3), paired=False),
        (
            "mlp is better than tinyvgg: +1.24 points (95% 0.41 to 2.07); 5 and 3 seeds, 10,000 images; "
            "retrained on the same training data, new images"
        ),
    ),
    "better but negligible": (
        said("better", 0.002, 0.00001, 0.004, low90=0.0003, high90=0.0037),
        (
            "tinyvgg is better than mlp: +0.200 points (95% 0.001 to 0.400); 5 seeds, 10,000 images; "
            "retrained on the same training data, new images, but by less than 0.5 points: no practical difference"
        ),
    ),
    "tied": (
        said("tied", -0.001, -0.004, 0.002, low90=-0.0035, high90=0.0015),
        (
            "tinyvgg and mlp are tied within 0.5 points: tinyvgg minus mlp -0.10 points (95% -0.40 to 0.20); "
            "5 seeds, 10,000 images; retrained on the same training data, new images"
        ),
    ),
    "more seeds": (
        said("cannot-tell", 0.001, -0.01, 0.012, n_seeds_needed=1200),
        (
            "cannot tell yet whether tinyvgg or mlp is better: tinyvgg minus mlp +0.10 points (95% -1.00 to 1.20); "
            "5 seeds, 10,000 images; retrained on the same training data, new images; about 1,200 seeds each would"
        ),
    ),
    "more images": (
        said("cannot-tell", 0.0, -0.02, 0.02, n_images_needed=41_234),
        (
            "cannot tell yet whether tinyvgg or mlp is better: tinyvgg minus mlp 0.00 points (95% -2.00 to 2.00); "
            "5 seeds, 10,000 images; retrained on the same training data, new images; "
            "seeds cannot settle this; about 42,000 images can"
        ),
    ),
    "limits of t beyond what accuracies can differ by": (
        said("cannot-tell", 0.5, -1.4, 2.4, n_images=2, n_images_needed=900),
        (
            "cannot tell yet whether tinyvgg or mlp is better: tinyvgg minus mlp +50.00 points "
            "(95% -100.00 to 100.00); 5 seeds, 2 images; retrained on the same training data, new images; "
            "seeds cannot settle this; about 900 images can"
        ),
    ),
    "one run each": (
        said("these-two-only", 0.006, 0.001, 0.011, n_seeds=(1, 1), p_value=0.0163),
        (
            "these two trained models only; retraining may reverse it: "
            "tinyvgg minus mlp +0.60 points (95% 0.10 to 1.10); p = 0.016; 10,000 images"
        ),
    ),
    "one run of several": (
        said("these-two-only", 0.006, 0.001, 0.011, n_seeds=(4, 1), p_value=0.0163, rows=(2, 0)),
        (
            "these two trained models only; retraining may reverse it: "
            "tinyvgg minus mlp +0.60 points (95% 0.10 to 1.10); p = 0.016; 10,000 images; one of 4 runs of tinyvgg"
        ),
    ),
    "a score": (
        said("better", -0.0213, -0.0301, -0.0125, metric="log-loss", margin=0.01),
        (
            "tinyvgg is better than mlp: -0.0213 log-loss (95% -0.0301 to -0.0125); 5 seeds, 10,000 images; "
            "retrained on the same training data, new images"
        ),
    ),
    "collapsed": (
        said("cannot-tell", 0.1, None, None, n_collapsed=(0, 1)),
        (
            "cannot tell whether tinyvgg or mlp is better: 1 of 5 seeds of mlp collapsed to chance level, "
            "so no interval is given"
        ),
    ),
    "one image": (
        said("cannot-tell", 0.2, None, None, n_images=1),
        (
            "cannot tell yet whether tinyvgg or mlp is better: tinyvgg minus mlp +20.00 points; 5 seeds, 1 image; "
            "retrained on the same training data, new images; one image has no interval"
        ),
    ),
}


@pytest.mark.parametrize(("verdict", "text"), CASES.values(), ids=CASES)
def test_sentences(verdict, text):
    assert verdict_text(verdict, "tinyvgg", "mlp") == text


@pytest.mark.parametrize(("verdict", "text"), CASES.values(), ids=CASES)
def test_the_population_can_be_said_once_for_several_verdicts(verdict, text):
    assert verdict_text(verdict, "tinyvgg", "mlp", population=False) == text.replace(
        f"; {population_text(verdict)}", ""
    )


def test_without_records_the_sentence_says_what_it_does_not_cover():
    a, b = (Arm(name=n, accuracies=x) for n, x in (("a", [0.9, 0.91, 0.92]), ("b", [0.8, 0.81, 0.82])))
    text = verdict_text(arms_verdict(a, b), "a", "b")
    assert text.endswith("; 3 seeds; Welch on accuracies per seed, so retrained models on these test images only")
    single = arms_verdict(*(Arm(name=arm.name, accuracies=arm.per_seed[:1]) for arm in (a, b)))
    assert verdict_text(single, "a", "b").endswith("+10.00 points; no record of the images, so no interval")


def test_holm_is_named_where_it_withheld_a_difference():
    text = verdict_text(
        said("cannot-tell", 0.01, 0.001, 0.019, p_value=0.03, p_adjusted=0.3, n_pairs=10, n_seeds_needed=9), "a", "b"
    )
    assert text.endswith("not shown among 10 pairs (Holm: p = 0.3); about 9 seeds each would")


def test_win_share_names_its_pairs():
    matched = said("better", 0.01, 0.001, 0.02, win_share=0.8)
    assert win_share_text(matched, "a", "b") == (
        "one retrained a beats one retrained b in 80% of 5 pairs matched by seed (a tie counts half)"
    )
    crossed = said("better", 0.01, 0.001, 0.02, win_share=0.5, n_seeds=(5, 3), paired=False)
    assert "50% of 15 pairs of seeds" in win_share_text(crossed, "a", "b")
    assert win_share_text(said("these-two-only", 0.01, 0.0, 0.02), "a", "b") is None


def test_a_tiny_limit_is_not_printed_as_zero():
    exact = np.nextafter(0, 1)
    assert "(95% 0.001 to 0.400)" in verdict_text(said("better", 0.002, 0.00001, 0.004), "a", "b")
    assert "0.000000" in verdict_text(said("better", 0.002, exact, 0.004), "a", "b")
