"""The demo's training with real torch: it learns, it repeats itself, and what it writes loads."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from demo import adapt, conversations, learn, store, tokenizer  # noqa: E402

ROOT = Path(__file__).parents[2]
STEPS = 12


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Sums in another order give other weights: one thread, so that a run repeats itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations.Packer, "ROWS", 4)


def train(folder: Path) -> list[float]:
    """Train a baseline for STEPS steps into `folder`; return its losses."""
    words = tokenizer.build(0, samples_per_skill=400)
    model = learn.new_model(words, 0)
    packer = conversations.Packer(words, random.Random(1))
    run = learn.learn(model, packer, learn.Schedule(steps=STEPS, peak=6e-3), label="test")
    store.save_model(model, folder)
    store.save_tokenizer(words, folder)
    return run.losses


@pytest.mark.usefixtures("small_batches")
def test_loss_falls_and_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, second = train(tmp_path / "first"), train(tmp_path / "second")
    assert first[-1] < first[0] - 0.5
    assert first == second
    digests = {
        file: {hashlib.sha256((tmp_path / run / file).read_bytes()).hexdigest() for run in ("first", "second")}
        for file in ("model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    assert {file: len(found) for file, found in digests.items()} == dict.fromkeys(digests, 1)


@pytest.mark.usefixtures("small_batches")
def test_a_candidate_learns_and_its_adapter_and_merged_weights_agree(tmp_path: Path) -> None:
    from peft import PeftModel

    train(tmp_path / "models" / "baseline")
    variant, words = adapt.VARIANTS[0], store.load_tokenizer(tmp_path / "models" / "baseline")
    adapt.make_candidate(variant, words, tmp_path, steps=4, seed=5, device="cpu")

    base, merged = (store.load_model(tmp_path / "models" / name, "cpu") for name in ("baseline", variant.name))
    ids = torch.tensor([words.encode("Sort: b a c")])
    plain = base(ids).logits
    tuned = PeftModel.from_pretrained(base, tmp_path / "adapters" / variant.name)(ids).logits
    torch.testing.assert_close(tuned, merged(ids).logits, atol=0.02, rtol=0.01)
    assert not torch.allclose(tuned, plain, atol=0.02)


def test_training_ids_are_the_chat_templates() -> None:
    words = store.load_tokenizer(ROOT / "demo" / "models" / "baseline")
    rng = random.Random(2)
    for _ in range(50):
        messages = conversations.conversation(rng, conversations.draw_right)
        ids, labels = conversations.encode(words, messages)
        assert ids == words.apply_chat_template(messages, return_dict=False)
        learnt = words.decode([label for label in labels if label != conversations.IGNORED])
        assert learnt == "".join(m["content"] + "<|end|>" for m in messages if m["role"] == "assistant")


@pytest.mark.usefixtures("small_batches")
def test_packed_conversations_do_not_see_each_other() -> None:
    words = tokenizer.build(0, samples_per_skill=100)
    model = learn.new_model(words, 0).eval()
    batch = conversations.Packer(words, random.Random(3)).batch()
    with torch.inference_mode():
        packed = model(**{name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}).logits[0]
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    begin, end = starts[1], starts[2]
    alone = model(batch["input_ids"][:1, begin:end]).logits[0]
    torch.testing.assert_close(packed[begin:end], alone, atol=1e-4, rtol=1e-4)


def test_the_command_writes_models_adapters_and_the_card(tmp_path: Path) -> None:
    sizes = ["--steps", "2", "--adapter-steps", "2", "--held-out", "2", "--threads", "1"]
    subprocess.run([sys.executable, "-m", "demo.train", *sizes, "--out", tmp_path], cwd=ROOT, check=True)
    card = json.loads((tmp_path / "models" / "card.json").read_text())
    assert card["files"] == store.digests(tmp_path)
    assert str(tmp_path) not in json.dumps(card)
    for path in tmp_path.rglob("*.json"):
        assert str(tmp_path) not in path.read_text(), path
    assert "| sort |" in (tmp_path / "models" / "CARD.md").read_text()


def test_grading_anew_changes_nothing_but_the_accuracy(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "demo" / "models", tmp_path / "models")
    shutil.copytree(ROOT / "demo" / "adapters", tmp_path / "adapters")
    regrade = [sys.executable, "-m", "demo.train", "--regrade", "--held-out", "2", "--threads", "1", "--out", tmp_path]
    subprocess.run(regrade, cwd=ROOT, check=True)
    before, after = (json.loads((out / "models" / "card.json").read_text()) for out in (ROOT / "demo", tmp_path))
    assert {name for name in before if before[name] != after[name]} == {"accuracy", "held_out"}
    (tmp_path / "models" / "baseline" / "model.safetensors").write_bytes(b"another model's")
    assert subprocess.run(regrade, cwd=ROOT, check=False).returncode != 0
