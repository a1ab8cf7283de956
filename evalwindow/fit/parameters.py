"""How many parameters a shape has, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from evalwindow.fit.shape import Experts, Latent, Shape


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Numbers of weights."""

    embedding: int  # with the head, where that is another matrix
    attention: int  # of all layers
    networks: int  # feed-forward, of all layers
    norms: int

    @property
    def total(self) -> int:
        return self.embedding + self.attention + self.networks + self.norms


def parameters_of(shape: Shape) -> Parameters:
    routed = shape.layers - shape.experts.dense_layers if shape.experts else 0
    networks = (shape.layers - routed) * _dense(shape)
    if shape.experts:
        networks += routed * _routed(shape.hidden, shape.experts)
    attention = _latent(shape, shape.latent) if shape.latent else _attention(shape)
    return Parameters(
        embedding=shape.vocab * shape.hidden * (1 if shape.tied else 2),
        attention=shape.layers * attention,
        networks=networks,
        norms=(shape.layers * shape.family.norms + 1) * shape.hidden,
    )


def _attention(shape: Shape) -> int:
    query, kv, hidden = shape.query_size, shape.kv_size, shape.hidden
    weights = hidden * (query + 2 * kv) + query * hidden
    biases = (query + 2 * kv) * shape.qkv_bias + hidden * shape.out_bias
    return weights + biases + 2 * shape.head_dim * shape.family.head_norm


def _latent(shape: Shape, latent: Latent) -> int:
    """Projections down to the compressed vectors and up to the heads, with the norms between."""
    head = latent.nope + latent.rope
    if latent.query_rank is None:
        query = shape.hidden * shape.heads * head
    else:
        query = latent.query_rank * (shape.hidden + 1 + shape.heads * head)
    down = shape.hidden * latent.kept + latent.rank
    up = latent.rank * shape.heads * (latent.nope + latent.value)
    return query + down + up + shape.heads * latent.value * shape.hidden


def _dense(shape: Shape) -> int:
    return 3 * shape.hidden * shape.inner + (2 * shape.inner + shape.hidden) * shape.mlp_bias


def _routed(hidden: int, experts: Experts) -> int:
    router = hidden * experts.count
    return router + 3 * hidden * (experts.count * experts.size + experts.shared) + hidden * experts.shared_gate
