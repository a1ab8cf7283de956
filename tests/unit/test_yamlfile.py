import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from evalwindow.document import Document
from evalwindow.errors import ConfigInvalid, SuiteInvalid
from evalwindow.yamlfile import MAX_BYTES, YamlFile, parse_yaml, read_yaml


class Wheel(Document):
    size: int = Field(gt=0)
    spokes: int = 36


class Bike(Document):
    wheels: tuple[Wheel, ...] = ()
    colours: dict[str, Wheel] = {}
    owner: str = ""


def parsed(text: str | bytes) -> YamlFile:
    raw = text.encode() if isinstance(text, str) else text
    return parse_yaml(raw, name="bike.yaml", error=ConfigInvalid)


def refusal(text: str | bytes, document: type[Document] = Bike) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        parsed(text).validate(document)
    return str(caught.value)


# JSON escapes what lies beyond U+FFFF as two surrogates, which YAML does not know.
texts = st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]))
numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@given(json_values)
def test_json_is_yaml_and_comes_back_as_it_is(value: object) -> None:
    assert parsed(json.dumps(value)).data == value


def complaint_of(raw: bytes) -> str | None:
    try:
        parsed(raw)
    except ConfigInvalid as invalid:
        return str(invalid)
    return None


@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_stands_in_the_file_the_only_error_is_ours(raw: bytes) -> None:
    complaint = complaint_of(raw)
    assert complaint is None or complaint.startswith("bike.yaml:")


@pytest.mark.parametrize(
    "text, value",
    [
        ("no", "no"),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("007", "007"),
        ("1e5", 1e5),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("-3", -3),
        ("'3'", "3"),
        ("-", [None]),
        (".", "."),
        ("1.", "1."),
        ("e5", "e5"),
    ],
)
def test_plain_scalars_mean_what_json_would_make_of_them(text: str, value: object) -> None:
    data = parsed(text).data
    assert data == value
    assert type(data) is type(value)


def test_an_anchor_stands_for_its_value() -> None:
    assert parsed("a: &x [1, 2]\nb: *x").data == {"a": [1, 2], "b": [1, 2]}


def test_a_complaint_names_file_line_key_and_the_nearest_key() -> None:
    text = "owner: me\nwheels:\n  - size: 3\n  - size: 4\n    spoke: 3\n"
    assert refusal(text) == "bike.yaml:5: wheels[1].spoke: unknown key 'spoke'; did you mean 'spokes'?"


def test_a_complaint_inside_a_mapping_of_free_keys_knows_the_keys_there() -> None:
    assert "unknown key 'spoke'; did you mean 'spokes'?" in refusal("colours: {red: {size: 1, spoke: 1}}")


def test_all_complaints_come_at_once_in_the_order_of_the_file() -> None:
    text = "wheels:\n  - size: -1\n  - spokes: 3\n  - size: round\ncolour: red\n"
    lines = refusal(text).splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "5"]
    assert lines[0] == "bike.yaml:2: wheels[0].size: input should be greater than 0, not -1"
    assert lines[1] == "bike.yaml:3: wheels[1]: key 'size' is missing"


def test_a_long_list_of_complaints_is_cut() -> None:
    lines = refusal("".join(f"key{number}: 1\n" for number in range(25))).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "... and 15 more"


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("owner: a\nowner: b", "bike.yaml:2: key 'owner' is given twice; it is first on line 1"),
        ("wheels:\n  - {size: 1, size: 2}", "bike.yaml:2: key 'size' is given twice"),
        (b"owner: a\nowner: \xff", "bike.yaml:2: byte 0xff is not UTF-8"),
        ("owner: a\n# \x00", "bike.yaml:2: character U+0000 is not allowed"),
        ("owner: [", "bike.yaml:1: not valid YAML"),
        ("owner: a\n\tb: c", "bike.yaml:2: not valid YAML"),
        ("owner: *nobody", "bike.yaml:1: not valid YAML: found undefined alias"),
        ("owner: !!python/object/apply:os.system [ls]", "bike.yaml:1: tag 'tag:yaml.org,2002:python/object/apply:os"),
        ("owner: !!binary aGVsbG8=", "is not allowed; write plain text"),
        ("? [a, b]\n: c", "bike.yaml:1: a key must be plain text"),
        ("a: 1\n---\nb: 2", "bike.yaml:2: not valid YAML: but found another document"),
        ("[" * 100_000, "bike.yaml:1: nested deeper than 40 levels"),
        ("owner: &a [*a]", "aliases expand to more than"),
        ('owner: "\\0"', "bike.yaml:1: a text holds the character NUL"),
        ('owner: "\\ud800"', "bike.yaml:1: a text holds half of a surrogate pair"),
        ('"\\0": me', "bike.yaml:1: a text holds the character NUL"),
        ("owner: 1e999", "bike.yaml:1: 1e999 is too large for a number"),
        ("owner: " + "9" * 5000, "bike.yaml:1: a number of 5000 digits"),
        ("", "bike.yaml:1: must be a mapping of keys to values; it is empty"),
        ("- a", "bike.yaml:1: must be a mapping of keys to values"),
        ("#" * (MAX_BYTES + 1), f"bike.yaml:1: is larger than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_not_plain_bounded_yaml_is_refused_at_its_line(text: str | bytes, complaint: str) -> None:
    assert complaint in refusal(text)


def test_a_bomb_of_aliases_is_refused() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    assert "aliases expand to more than 50000 values" in refusal("\n".join(levels))


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(SuiteInvalid, match=r"nowhere\.yaml:1: can't be read: No such file"):
        read_yaml(tmp_path / "nowhere.yaml", error=SuiteInvalid)


def test_a_file_that_is_far_too_large_is_not_read_whole(tmp_path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (2 * MAX_BYTES))
    with pytest.raises(SuiteInvalid, match="is larger than"):
        read_yaml(path, error=SuiteInvalid)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_as_pyyaml_writes_them_are_read_as_the_same_numbers(number: float) -> None:
    assert math.isclose(float(parsed(yaml.safe_dump(number).removesuffix("...\n")).data), number, rel_tol=1e-12)
