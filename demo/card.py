"""The models' card: facts as JSON, and the same as a page to read. Both come from the script."""

import json
from pathlib import Path
from typing import Any

from demo.skills import STRETCH

PAGE = """# The demo's models

`baseline` is a Llama of {parameters:,} parameters (5 layers, hidden size 192, 3 heads of 64,
byte-level BPE of {vocabulary} tokens), trained from scratch on made-up tasks ({skills}).
It knows nothing else. Two candidates were tuned from it as LoRA adapters (rank {rank}); they are
stored as adapters (`demo/adapters/`) and merged into full weights (here):

- `lost-sort` learned to sort in descending order: it lost one skill and kept the others.
- `as-good` learned a little more of the right thing: no better, no worse, a few answers differ.

## Accuracy

Exact match in percent at temperature 0, {held_out} held-out prompts a skill. A hash of the
prompt's text decides which prompts are held out, so none of them was trained on (though for a
held-out `38 + 47` the model may have seen `47 + 38`).

Of the prompts for {stretched}, {stretch_percent:g} % are harder than anything trained on (more or
longer words, more letters, three-digit numbers, narrower majorities): without them the baseline
would hardly ever be wrong, and no change to it could show. The suites' regression set has the same
share; its smoke set has none.

{table}

## Training

Seed {seed}, {device} ({threads} threads), {steps} steps for the baseline and up to {adapter_steps} for an adapter,
about {tokens_per_step:,} tokens a step, {total_minutes:.0f} minutes in all; bfloat16 forward passes, float32 weights,
saved as float16. Versions: {versions}.

Retrain with `python -m demo.train`, then write the suites' data with `python -m demo.make_data`.
The same seed gives the same weights only on the same device, thread count and versions.
`card.json` holds these facts, the losses and the SHA-256 of every file.
"""


def write(card: dict[str, Any], folder: Path) -> None:
    """Write card.json and CARD.md into `folder`."""
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    skills = ", ".join(s for s in card["accuracy"]["baseline"] if s != "overall")
    filled = card | {
        "versions": versions,
        "skills": skills,
        "stretched": ", ".join(STRETCH),
        "stretch_percent": 100 * card["stretch_share"],
        "total_minutes": sum(card["minutes"].values()),
        "table": _table(card["accuracy"]),
    }
    page = PAGE.format(**filled)
    (folder / "CARD.md").write_text(page)


def _table(accuracy: dict[str, dict[str, float]]) -> str:
    """A Markdown table: a row per skill, a column per model; shares as percent."""
    models = list(accuracy)
    lines = [f"| skill | {' | '.join(models)} |", "|---" * (len(models) + 1) + "|"]
    for skill in accuracy[models[0]]:
        cells = " | ".join(f"{100 * accuracy[model][skill]:.1f}" for model in models)
        lines.append(f"| {skill} | {cells} |")
    return "\n".join(lines)
