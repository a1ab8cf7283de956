import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.errors import BadInput, CandidateInvalid, ConfigInvalid
from evalwindow.model import Candidate
from evalwindow.pr_config import parse_pr_config, repo_path


def document(**candidate: object) -> bytes:
    return yaml.safe_dump({"suites": ["smoke"], "candidate": {"model": "demo", **candidate}}).encode()


def refusal(raw: bytes, error: type[BadInput] = ConfigInvalid) -> str:
    with pytest.raises(error) as caught:
        parse_pr_config(raw)
    return str(caught.value)


def test_a_whole_document_is_read() -> None:
    raw = b"""
suites: [demo-smoke, demo-regression]
candidate:
  model: demo
  adapter: adapters/mine
  system: Be brief.
  template_file: prompts/answer.j2
  sampling: {temperature: 0.2}
"""
    config = parse_pr_config(raw)
    assert config.suites == ("demo-smoke", "demo-regression")
    assert (config.candidate.adapter, config.candidate.template_file) == ("adapters/mine", "prompts/answer.j2")
    assert config.candidate.candidate(adapter="f" * 64, template="{{ input }}") == Candidate(
        model="demo", adapter="f" * 64, system="Be brief.", template="{{ input }}", sampling={"temperature": 0.2}
    )


def test_a_template_in_place_needs_no_file() -> None:
    candidate = parse_pr_config(document(template="Q: {{ input }}")).candidate
    assert candidate.candidate(adapter=None, template=None).template == "Q: {{ input }}"


@pytest.mark.parametrize(
    "raw, complaint",
    [
        (b"", ".evalwindow.yaml:1: must be a mapping of keys to values; it is empty"),
        (b"suites: [a]\n", ".evalwindow.yaml:1: key 'candidate' is missing"),
        (b"suites: [a]\ncandidate: {}\n", ".evalwindow.yaml:2: candidate: key 'model' is missing"),
        (b"suites: []\ncandidate: {model: m}\n", ".evalwindow.yaml:1: suites: "),
        (b"suites: smoke\ncandidate: {model: m}\n", ".evalwindow.yaml:1: suites: "),
        (b"suites: [a, a]\ncandidate: {model: m}\n", ".evalwindow.yaml:1: suites[1]: 'a' is listed twice"),
        (b"suites: [a]\ncandidate: {model: m}\nteam: ads\n", ".evalwindow.yaml:3: team: unknown key 'team'"),
        (b"suites: [a]\ncandidate: {model: \xff}\n", ".evalwindow.yaml:2: byte 0xff is not UTF-8"),
        (b"suites: [a]\ncandidate: {model: 'a\x00'}\n", "character U+0000"),
        (b"#" * 1_000_001, "is larger than"),
        (document(systm="x"), "candidate.systm: unknown key 'systm'; did you mean 'system'?"),
        (document(template="{{ f() }}"), "candidate.template: line 1: 'call' is not allowed"),
        (document(template="a", template_file="b"), "give `template` or `template_file`, not both"),
        (document(system="x" * 20_001), "candidate.system: "),
        (document(template="x" * 20_001), "candidate.template: "),
    ],
)
def test_what_is_no_such_document_is_refused_at_its_line(raw: bytes, complaint: str) -> None:
    assert complaint in refusal(raw)


@pytest.mark.parametrize("key", ["adapter", "template_file"])
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../secrets",
        "a/../../b",
        "a/..",
        "..",
        "~/x",
        "a\\..\\b",
        "C:\\x",
        "c:x",
        "file:///etc/passwd",
        "https://example.com/x",
        "//host/x",
        "a//b",
        "./a",
        "",
        " ",
        "a/%2e%2e/b",
        "a?x=1",
        "a#b",
        "a\nb",
        "a\tb",
        ".git/config",
        "a/.GIT/config",
        "a/ ../b",
        "x" * 301,
    ],
)
def test_a_path_that_leaves_the_repository_is_named(key: str, path: str) -> None:
    message = refusal(document(**{key: path}), CandidateInvalid)
    assert message.startswith(".evalwindow.yaml:")
    assert f"candidate.{key}: {path!r} is no path in the repository" in message


@pytest.mark.parametrize(
    "path", ["a", "a/b.txt", "prompts/v2/answer.j2", ".hidden/x", "a..b/c", "with space/x", "ü/ß", "a/b/"]
)
def test_a_path_inside_of_it_is_taken_as_it_is(path: str) -> None:
    assert repo_path(path) == path


@given(st.text(max_size=40))
def test_no_accepted_path_has_a_part_that_climbs(path: str) -> None:
    try:
        accepted = repo_path(path)
    except CandidateInvalid:
        return
    parts = accepted.rstrip("/").split("/")
    assert not {"", ".", "..", ".git"} & set(parts)
    assert "\\" not in accepted


@pytest.mark.parametrize(
    "sampling, complaint",
    [
        ({"temprature": 1}, "candidate.sampling.temprature: unknown key 'temprature'; did you mean 'temperature'?"),
        ({"max_tokens": 0}, "candidate.sampling.max_tokens: "),
    ],
)
def test_a_bad_sampling_key_is_named_with_its_line(sampling: dict[str, object], complaint: str) -> None:
    message = refusal(document(sampling=sampling), CandidateInvalid)
    assert message.startswith(".evalwindow.yaml:")
    assert complaint in message
