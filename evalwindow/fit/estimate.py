"""What one engine takes of each of its GPUs, line by line. docs/fit.md has the formulas with their sources."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from evalwindow.config import Lora
from evalwindow.engines.vllm_server import LORA_RANKS
from evalwindow.fit.dtypes import computed_bytes, kept_bytes
from evalwindow.fit.errors import CantTell
from evalwindow.fit.flags import Flags
from evalwindow.fit.shape import Shape
from evalwindow.fit.weights import Weights

GIB = 2**30
BLOCK = 16  # tokens of a KV block on a GPU
LOGIT_BYTES = 40  # of each logit while a token is sampled: sorted copy, order, probabilities (two published logs)
HEADROOM = 1.2  # on activations: allocator's rounding and what the formula leaves out
GRAPHS = 0.5 * GIB  # captured CUDA graphs; published logs say 0.2 to 0.7; twice as many with LoRA
LIBRARIES = 0.5 * GIB  # CUDA's and the kernels' own buffers inside vLLM's account
COLLECTIVES = 1.0 * GIB  # NCCL's buffers, between GPUs
CONTEXT = 0.5 * GIB  # the process's CUDA context, which vLLM's account does not hold
SCORED_ROWS = 1024  # prompt positions whose logits are computed at once (vLLM: v1/worker/gpu/sample/prompt_logprob.py)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What an engine is asked to do."""

    dtype: str  # resolved: never `auto`
    max_model_len: int
    max_num_seqs: int
    step_tokens: int  # tokens computed in one step, at most
    lora: Lora | None
    flags: Flags
    on_gpu: bool = True  # else there are no graphs and no libraries of CUDA


@dataclass(frozen=True, kw_only=True)
class Line:
    """One item of the sum."""

    what: str
    bytes: int
    how: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The KV cache: bytes by tokens, on one GPU."""

    layer_bytes: int  # a token, in one layer
    windows: tuple[int | None, ...]  # of each layer
    step_tokens: int

    @property
    def token_bytes(self) -> int:
        """Of a token that every layer still sees."""
        return self.layer_bytes * len(self.windows)

    def sequence_bytes(self, tokens: int) -> int:
        """Of one sequence, in whole blocks; a layer with a window keeps no more than that and a step."""
        return sum(self._blocks(tokens, window) for window in self.windows) * BLOCK * self.layer_bytes

    def longest(self, room: int, *, most: int) -> int:
        """Tokens of the longest sequence that fits into `room` bytes, up to `most`."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.sequence_bytes(middle) <= room else (low, middle - 1)
        return low

    def _blocks(self, tokens: int, window: int | None) -> int:
        if window is None:
            return math.ceil(tokens / BLOCK)
        return math.ceil(min(tokens, window - 1 + self.step_tokens) / BLOCK) + 1


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One engine on each of its GPUs."""

    lines: tuple[Line, ...]  # all but the KV cache
    beside: int  # bytes that it takes outside of what vLLM accounts for
    kept: Kept

    @property
    def bytes(self) -> int:
        """Of all but the KV cache."""
        return sum(line.bytes for line in self.lines)


def estimate(shape: Shape, weights: Weights, engine: Engine) -> Estimate:
    """Raises CantTell for what can't be computed, in words."""
    flags, tp = engine.flags, engine.flags.tensor_parallel
    _check(shape, flags)
    over = f", over {tp} GPUs" if tp > 1 else ""
    lines = [Line(what="weights", bytes=math.ceil(weights.bytes / tp), how=weights.how + over)]
    if engine.lora is not None:
        lines.append(_places(shape, engine.lora, tp=tp, dtype=engine.dtype))
    lines.append(_activations(shape, engine))
    if engine.on_gpu:
        lines += _cuda(engine)
    return Estimate(lines=tuple(lines), beside=_beside(shape, engine), kept=_kept(shape, engine))


def _cuda(engine: Engine) -> Iterator[Line]:
    if not engine.flags.eager:
        graphs = GRAPHS * (2 if engine.lora else 1)
        yield Line(what="CUDA graphs", bytes=int(graphs), how="estimate; none with --enforce-eager")
    libraries = LIBRARIES + (COLLECTIVES if engine.flags.tensor_parallel > 1 else 0)
    yield Line(what="CUDA libraries", bytes=int(libraries), how="estimate")


def _check(shape: Shape, flags: Flags) -> None:
    if flags.uncounted:
        raise CantTell(f"{flags.uncounted[0]} changes what an engine takes, and is not counted here")
    tp = flags.tensor_parallel
    if shape.heads % tp or (not shape.latent and shape.kv_heads % tp and tp % shape.kv_heads):
        heads = f"{shape.heads} attention heads and {shape.kv_heads} key-value heads"
        raise CantTell(f"--tensor-parallel-size {tp} does not divide {heads}; vLLM refuses it")


def _kept(shape: Shape, engine: Engine) -> Kept:
    """2 x heads x head size x bytes a layer. A key-value head is kept whole: GPUs beyond their number repeat them."""
    item = kept_bytes(engine.flags.kv_cache_dtype, dtype=engine.dtype)
    if shape.latent:
        layer = shape.latent.kept * item  # one vector for all heads, on every GPU
    else:
        layer = 2 * max(1, shape.kv_heads // engine.flags.tensor_parallel) * shape.head_dim * item
    return Kept(layer_bytes=layer, windows=shape.windows, step_tokens=engine.step_tokens)


def _activations(shape: Shape, engine: Engine) -> Line:
    """The larger of a forward pass and of sampling: what the one held is free again for the other."""
    tokens, item = engine.step_tokens, computed_bytes(engine.dtype)
    hidden = tokens * shape.hidden * item
    widest = max(_attention_row(shape, engine), _network_row(shape, engine))
    forward = tokens * widest * item + 3 * hidden
    sampling = engine.max_num_seqs * shape.vocab * LOGIT_BYTES + hidden
    which = f"a step of {tokens:,} tokens" if forward > sampling else f"the logits of {engine.max_num_seqs:,} sequences"
    return Line(what="activations", bytes=int(max(forward, sampling) * HEADROOM), how=f"estimate: {which}")


def _attention_row(shape: Shape, engine: Engine) -> int:
    """Numbers that a token holds in attention: queries, keys, values and the output."""
    tp = engine.flags.tensor_parallel
    if shape.latent:
        head = shape.latent.nope + shape.latent.rope + shape.latent.value
        return 2 * shape.heads // tp * head + shape.latent.kept
    return 2 * shape.query_size // tp + 2 * max(shape.head_dim, shape.kv_size // tp)


def _network_row(shape: Shape, engine: Engine) -> int:
    """Numbers that a token holds in a feed-forward network: gate, up and their product, for each active expert."""
    tp = engine.flags.tensor_parallel
    dense = 3 * shape.inner // tp
    if shape.experts is None:
        return dense
    routed = shape.experts.active * (3 * shape.experts.size // tp + shape.hidden) + 3 * shape.experts.shared // tp
    return max(routed, dense if shape.experts.dense_layers else 0)


def _beside(shape: Shape, engine: Engine) -> int:
    """Outside of vLLM's account: the context, and log-probabilities of prompts, which it does not measure at start.

    Those take logits of at most SCORED_ROWS positions, in the room of the activations as far as that goes.
    """
    rows = min(SCORED_ROWS, engine.step_tokens)
    scored = rows * shape.vocab * (computed_bytes(engine.dtype) + 4)
    return int(CONTEXT) + max(0, scored - _activations(shape, engine).bytes)


def _places(shape: Shape, lora: Lora, *, tp: int, dtype: str) -> Line:
    """Every place is there from the start, for the highest rank that vLLM rounds up to.

    A packed layer (q, k, v; gate and up) has places for all its parts as soon as one of them may be adapted.
    """
    if shape.latent:
        raise CantTell(f"LoRA places of {shape.architecture} are not counted here")
    rank = next((rank for rank in LORA_RANKS if rank >= lora.max_rank), lora.max_rank)
    wanted = set(lora.modules)
    numbers = 0
    if wanted & {"q_proj", "k_proj", "v_proj", "qkv_proj"}:
        numbers += 3 * shape.hidden + (shape.query_size + 2 * shape.kv_size) // tp
    if wanted & {"o_proj"}:
        numbers += shape.query_size // tp + shape.hidden
    networks, inner = (shape.experts.count, shape.experts.size) if shape.experts else (1, shape.inner)
    if wanted & {"gate_proj", "up_proj", "gate_up_proj"}:
        numbers += networks * (2 * shape.hidden + 2 * inner // tp)
    if wanted & {"down_proj"}:
        numbers += networks * (inner // tp + shape.hidden)
    each = shape.layers * rank * numbers * computed_bytes(dtype)
    how = f"{lora.max_adapters} adapters of rank {rank} at once"
    return Line(what="LoRA places", bytes=lora.max_adapters * each, how=how)
