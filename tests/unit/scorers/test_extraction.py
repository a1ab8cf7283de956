import pytest

from evalwindow.scorers.extraction import after, boxed, choice_letter


@pytest.mark.parametrize(
    "text, letter",
    [
        ("B", "B"),
        (" (C) ", "C"),
        ("B.", "B"),
        ("D) because it is large", "D"),
        ("The answer is (B).", "B"),
        ("Answer: C", "C"),
        ("The correct option is **D**", "D"),
        ("A) one\nB) two\nThe answer is A", "A"),
        ("First I thought answer: A. No, the answer is B.", "B"),
        ("I think so", None),
        ("", None),
        ("the answer is blue", None),
        ("I'm sure", None),
    ],
)
def test_the_letter_of_a_choice(text, letter):
    assert choice_letter(text) == letter


@pytest.mark.parametrize(
    "text, inside",
    [
        (r"so \boxed{42}", "42"),
        (r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{1} then \boxed{ 2 }", "2"),
        (r"\boxed{never closed", None),
        ("42", None),
    ],
)
def test_the_last_box(text, inside):
    assert boxed(text) == inside


@pytest.mark.parametrize(
    "text, rest",
    [
        ("2 + 2\n#### 4", "4"),
        ("#### 3\n#### 4\nbye", "4"),
        ("####\n 4 ", "4"),
        ("####", None),
        ("4", None),
    ],
)
def test_what_follows_the_last_marker(text, rest):
    assert after(text, "####") == rest
