"""An engine with weak spots: some prompts and adapters end its core from within, each time.

The first time that such a prompt comes the core only stands still, as one that waits for a device that is gone.

vLLM's own processes read this on their way up (`sitecustomize`), so nothing outside the engine takes part in its death.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from evalwindow.engines.residents import served_name
from tests.real.engines.tiny import _tokenizer

POISON = "poison"  # the core ends as it takes a prompt with this word in
PATCH = """
import functools, importlib.abc, importlib.util, os, signal, sys, time
from pathlib import Path

FOLDER = Path(__file__).parent
POISON = {ids!r}


def end(why, number=signal.SIGKILL):
    time.sleep(0.3)  # whoever came along is inside by then
    with FOLDER.joinpath("ends").open("a") as ends:
        ends.write(why + "\\n")
    os.kill(os.getpid(), number)


def poisoned(ids):
    ids = list(ids or ())
    return any(ids[at : at + len(POISON)] == POISON for at in range(len(ids)))


def weaken(core):
    take, load = core.EngineCore.preprocess_add_request, core.EngineCore.add_lora

    def preprocess_add_request(self, request):
        if poisoned(request.prompt_token_ids):
            if FOLDER.joinpath("stood").exists():
                end("prompt")
            FOLDER.joinpath("stood").touch()
            end("hang", signal.SIGSTOP)
        return take(self, request)

    def add_lora(self, request):
        if FOLDER.joinpath(request.lora_name).exists():
            end("adapter")
        return load(self, request)

    core.EngineCore.preprocess_add_request = functools.wraps(take)(preprocess_add_request)
    core.EngineCore.add_lora = functools.wraps(load)(add_lora)  # its annotations say how a message is read


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "vllm.v1.engine.core":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            weaken(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
"""


class WeakSpots:
    """`environment` is for the pool of the unit that gets them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        ids = _tokenizer()(POISON)["input_ids"]
        (folder / "sitecustomize.py").write_text(PATCH.format(ids=ids))
        self.environment = {"PYTHONPATH": str(folder)}

    def poison_adapter(self, digest: str) -> None:
        """The core dies as it loads this one."""
        (self._folder / served_name(digest)).touch()

    @property
    def ends(self) -> Counter[str]:
        """How often the core was ended by a prompt or an adapter, or hung."""
        path = self._folder / "ends"
        return Counter(path.read_text().split()) if path.exists() else Counter()
