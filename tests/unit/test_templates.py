import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.errors import TemplateInvalid
from evalwindow.templates import MAX_OUTPUT, MAX_TEMPLATE, check_template, render

SAMPLE = {"input": "two + two", "choices": ["three", "four"], "hint": {"easy": "count"}}


def refusal(text: str) -> str:
    with pytest.raises(TemplateInvalid) as caught:
        render(text, SAMPLE)
    return str(caught.value)


@pytest.mark.parametrize(
    "text, output",
    [
        ("Q: {{ input }}", "Q: two + two"),
        ("{% for c in choices %}{{ loop.index }}. {{ c|upper }};{% endfor %}", "1. THREE;2. FOUR;"),
        ("{% for c in choices %}{{ 'ABCD'[loop.index0] }}{% if not loop.last %},{% endif %}{% endfor %}", "A,B"),
        ("{{ choices|join(' or ') }}", "three or four"),
        ("{{ hint|tojson }}", '{"easy": "count"}'),
        ("{{ hint.easy }} {{ hint['easy'] }}", "count count"),
        ("{% for k, v in hint|items %}{{ k }}={{ v }}{% endfor %}", "easy=count"),
        ("{{ missing|default('none') }}", "none"),
        ("{% if missing is defined %}yes{% else %}no{% endif %}", "no"),
        ("{{ 'many' if choices|length > 1 else 'few' }}", "many"),
        ("{{ input[:3] }}{# a comment #}", "two"),
        ("{% raw %}{{ input }}{% endraw %}", "{{ input }}"),
        ("{% for x in [1, 2] if x > 1 %}{{ x }}{% endfor %}", "2"),
    ],
)
def test_a_prompt_needs_no_more_than_this(text: str, output: str) -> None:
    assert render(check_template(text), SAMPLE) == output


def test_a_missing_variable_is_named_with_the_nearest_one() -> None:
    assert refusal("{{ inptu }}") == "unknown variable 'inptu'; did you mean 'input'?"


def test_a_missing_variable_in_a_loop_or_filter_is_named_too() -> None:
    assert "unknown variable 'choice'; did you mean 'choices'?" in refusal("{% for c in choice %}{% endfor %}")
    assert "unknown variable 'imput'" in refusal("{{ imput|upper }}")


def test_a_missing_attribute_is_named() -> None:
    assert "'dict object' has no attribute 'hard'" in refusal("{{ hint.hard }}")


def test_the_answer_is_not_for_prompts() -> None:
    assert refusal("{{ target }}") == "'target' is the answer; a prompt can't show it"


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("{{ input.upper() }}", "line 1: 'call' is not allowed"),
        ("\n{{ range(9) }}", "line 2: 'call' is not allowed"),
        ("{{ 'a' * 1000000000 }}", "'mul' is not allowed"),
        ("{{ 9 ** 9 ** 9 }}", "'pow' is not allowed"),
        ("{{ '%999999999d' % 1 }}", "'mod' is not allowed"),
        ("{{ input ~ input }}", "'concat' is not allowed"),
        ("{{ input + input }}", "'add' is not allowed"),
        ("{% set a = input %}", "'assign' is not allowed"),
        ("{% macro f() %}{% endmacro %}", "'macro' is not allowed"),
        ("{% include 'x' %}", "'include' is not allowed"),
        ("{% import 'x' as y %}", "'import' is not allowed"),
        ("{% extends 'x' %}", "'extends' is not allowed"),
        ("{% filter upper %}x{% endfilter %}", "'filterblock' is not allowed"),
        ("{% for a in choices recursive %}{% endfor %}", "a loop can't be recursive"),
        ("{{ [input, input]|join }}", "a list can hold constants only"),
        ("{{ {'a': 1} }}", "'dict' is not allowed"),
        ("{{ input|uper }}", "unknown filter 'uper'; did you mean 'upper'?"),
        ("{{ input|center(99999999) }}", "unknown filter 'center'"),
        ("{{ input|attr('x') }}", "unknown filter 'attr'"),
        ("{{ choices|map('upper') }}", "unknown filter 'map'"),
        ("{{ _x }}", "starts with an underscore"),
        ("{{ __steps }}", "starts with an underscore"),
        ("{{ input.__class__.__mro__ }}", "unsafe"),
        ("{{ input['__class__'] }}", "unsafe"),
        ("{% if %}", "line 1: "),
        ("{{ input", "line 1: "),
        ("{% for x in choices %}", "line 1: Unexpected end of template"),
        ("x" * (MAX_TEMPLATE + 1), f"has {MAX_TEMPLATE + 1} characters; the limit is {MAX_TEMPLATE}"),
        ("{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}", "can't be compiled"),
        ("{% if 1 %}" * 60 + "{% endif %}" * 60, "nested deeper than"),
        ("{% for c in 3 %}{% endfor %}", "can't be rendered"),
        ("{{ input|first(3) }}", "can't be rendered"),
    ],
)
def test_what_could_read_or_run_or_never_end_is_refused(text: str, complaint: str) -> None:
    assert complaint in refusal(text)


def test_nested_loops_are_stopped() -> None:
    digits = ",".join("0123456789" * 9)
    text = "".join(f"{{% for {name} in [{digits}] %}}" for name in "abc") + "{% endfor %}" * 3
    assert refusal(text) == "loops take more than 20000 rounds"


def test_output_is_bounded() -> None:
    text = "{% for a in input %}{{ input }}{% endfor %}"
    with pytest.raises(TemplateInvalid, match=f"more than {MAX_OUTPUT} characters"):
        render(text, {"input": "x" * 1_000})


SLOW = [
    "input|list|sort|length == 0",
    "'zzzz' in input",
    "input not in 'zzzz'",
    "input[::2] == 'x'",
    "input|title|upper|trim('x') == ''",
    "input|list|unique|list|tojson|length == 0",
    "input is string and input is in 'zzzz'",
    "words == words",
]


@pytest.mark.parametrize("asked", SLOW)
@pytest.mark.parametrize("loop", [True, False], ids=["in a loop", "many times"])
def test_what_prints_nothing_and_takes_for_ever_is_stopped(asked: str, loop: bool) -> None:
    """Each of these went on and on: neither rounds nor output say how much is done."""
    part = f"{{% if {asked} %}}{{% endif %}}"
    text = f"{{% for a in input %}}{part * 5}{{% endfor %}}" if loop else part * (MAX_TEMPLATE // len(part))
    with pytest.raises(TemplateInvalid, match="touch more than 2000000 characters"):
        render(text, {"input": "the quick brown fox " * 500, "words": ["the quick brown fox"] * 500})


def test_rounds_count_by_what_is_in_them() -> None:
    text = "{% for a in input %}" + "{% if not a %}{% endif %}" * 700 + "{% endfor %}"
    assert render(text, {"input": "x" * 50}) == ""
    with pytest.raises(TemplateInvalid, match="touch more than"):
        render(text, {"input": "x" * 10_000})


def test_a_large_input_may_be_worked_on_a_few_times() -> None:
    text = "{{ input|trim|upper }}{% for line in lines %}{% if 'x' in line|lower %}.{% endif %}{% endfor %}"
    assert render(text, {"input": "a " * 40_000, "lines": ["xyz" * 30] * 1_000}).endswith("A" + "." * 1_000)


@pytest.mark.parametrize("step", ["|join('-----')", "|tojson", "|list|string"])
def test_a_chain_of_filters_can_not_grow_without_bound(step: str) -> None:
    with pytest.raises(TemplateInvalid, match=f"more than (?:{MAX_OUTPUT}|2\\d{{5}}) characters"):
        render("{{ input" + step * 15 + " }}", {"input": '"' * 50})


def test_the_same_complaint_comes_as_a_value_error_for_documents() -> None:
    with pytest.raises(ValueError, match="'call' is not allowed"):
        check_template("{{ f() }}")


def test_a_templates_loops_are_counted_anew_at_each_rendering() -> None:
    text = "{% for a in input %}{{ a }}{% endfor %}"
    for _ in range(5):
        assert render(text, {"input": "x" * 9_000}) == "x" * 9_000


@given(st.text())
def test_a_prompt_holds_the_input_as_it_is(text: str) -> None:
    assert render("<{{ input }}>", {"input": text}) == f"<{text}>"


@given(st.text(alphabet="{}%#|.()[]'\"abc input for if in 12*~_-=,:\n", max_size=80))
def test_whatever_the_template_the_only_error_is_ours(text: str) -> None:
    with contextlib.suppress(TemplateInvalid):
        render(text, SAMPLE)
