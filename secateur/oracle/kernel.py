"""The compiled loop of dense tails: what a removal changes, without leaving the cache.

For each candidate and each example in which it is not zero: subtract its contribution from the first reader's cached
answer, run the activations and linear layers that follow, take the loss. A block of examples stays in the cache while
the candidates pass; the losses of a block are computed side by side, so that the compiler can use wide registers.
Sums are added block by block in a fixed order: neither threads nor their number change a bit of them. Nothing is
assumed of NaN: it reaches the sums, and the caller looks for it there.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

BLOCK = 256
"""Examples that stay in the cache while the candidates pass."""

# no_type_check: tests wrap checks around all other functions, which numba could not compile.

# Activations, by number, with up to two parameters. (kernel globals are constants of the compiled code)
IDENTITY, RELU, LEAKY_RELU, SIGMOID, TANH, SILU, GELU, GELU_TANH, SOFTPLUS, ELU = range(10)
# Losses, by number.
CLASSES, PROBABILITIES, SQUARES, BINARY = range(4)

# Sums may be added in another order, and multiplied and added in one step; NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz"}

_POWERS = np.array([2.0**n for n in range(-1074, 1024)])
_LOG2_E = 1 / math.log(2)
_LN2_HIGH = 0.693145751953125  # so few bits that any whole multiple of it is exact
_LN2_LOW = 1.42860682030941723212e-6
_TAYLOR = tuple(1 / math.factorial(n) for n in range(14))
_HALF_ROOT = math.sqrt(0.5)
_GELU_SCALE = math.sqrt(2 / math.pi)


@njit(fastmath={"contract"}, error_model="numpy")  # the order of the reduction matters
@no_type_check
def _exp(x):
    """exp in float64, to 2 units in the last place, of arithmetic alone, so that loops over it become vector code.

    exp(x) = 2^n exp(r),   n the whole number nearest to x / ln 2,  |r| <= ln 2 / 2 (Taylor, 14 terms)

    Below -708 it stays at exp(-708), above 709 at exp(709); NaN stays NaN.
    """
    known = x if x == x else 0.0
    known = min(max(known, -708.0), 709.0)
    n = np.floor(known * _LOG2_E + 0.5)
    r = (known - n * _LN2_HIGH) - n * _LN2_LOW
    value = _TAYLOR[13]
    for at in range(12, -1, -1):
        value = value * r + _TAYLOR[at]
    return value * _POWERS[np.uint64(np.int64(n) + 1074)] + (x - x)


@njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _activate(code, first, second, values, side, count, width):
    """An activation in place, of values[side, :count, :width], in float64, rounded as torch rounds its answer."""
    if code == RELU:
        for p in range(count):
            for i in range(width):
                v = values[side, p, i]
                values[side, p, i] = v * 0 if v <= 0 else v  # not max(): NaN stays
    elif code == LEAKY_RELU:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                values[side, p, i] = v * first if v <= 0 else v
    elif code == SIGMOID:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                values[side, p, i] = 1.0 / (1.0 + _exp(-v))
    elif code == TANH:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                small = v * (1.0 + v * v * (-1.0 / 3.0 + v * v * (2.0 / 15.0)))  # the quotient would cancel
                values[side, p, i] = small if -1e-3 < v < 1e-3 else 1.0 - 2.0 / (_exp(2.0 * v) + 1.0)
    elif code == SILU:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                values[side, p, i] = v / (1.0 + _exp(-v))
    elif code == GELU:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                values[side, p, i] = 0.5 * v * (1.0 + math.erf(v * _HALF_ROOT))
    elif code == GELU_TANH:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                values[side, p, i] = v / (1.0 + _exp(-2.0 * _GELU_SCALE * (v + 0.044715 * v * v * v)))
    elif code == SOFTPLUS:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                values[side, p, i] = v if v * first > second else math.log1p(_exp(v * first)) / first
    elif code == ELU:
        for p in range(count):
            for i in range(width):
                v = np.float64(values[side, p, i])
                values[side, p, i] = first * math.expm1(v) if v <= 0 else v


@njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _linear(values, side, count, inputs, outputs, weight, bias, layer):
    """values[1 - side] = W values[side] + b; three examples, four outputs at a time: what is loaded serves them all."""
    out = 1 - side
    for p in range(0, count, 3):
        q, r = min(p + 1, count - 1), min(p + 2, count - 1)
        for c in range(0, outputs - 3, 4):
            s0 = t0 = u0 = bias[layer, c]
            s1 = t1 = u1 = bias[layer, c + 1]
            s2 = t2 = u2 = bias[layer, c + 2]
            s3 = t3 = u3 = bias[layer, c + 3]
            for j in range(inputs):
                v, u, x = values[side, p, j], values[side, q, j], values[side, r, j]
                w0, w1 = weight[layer, c, j], weight[layer, c + 1, j]
                w2, w3 = weight[layer, c + 2, j], weight[layer, c + 3, j]
                s0 += v * w0
                s1 += v * w1
                s2 += v * w2
                s3 += v * w3
                t0 += u * w0
                t1 += u * w1
                t2 += u * w2
                t3 += u * w3
                u0 += x * w0
                u1 += x * w1
                u2 += x * w2
                u3 += x * w3
            values[out, p, c], values[out, p, c + 1], values[out, p, c + 2], values[out, p, c + 3] = s0, s1, s2, s3
            values[out, q, c], values[out, q, c + 1], values[out, q, c + 2], values[out, q, c + 3] = t0, t1, t2, t3
            values[out, r, c], values[out, r, c + 1], values[out, r, c + 2], values[out, r, c + 3] = u0, u1, u2, u3
        for c in range(outputs // 4 * 4, outputs):
            s0 = t0 = u0 = bias[layer, c]
            for j in range(inputs):
                w0 = weight[layer, c, j]
                s0 += values[side, p, j] * w0
                t0 += values[side, q, j] * w0
                u0 += values[side, r, j] * w0
            values[out, p, c] = s0
            values[out, q, c] = t0
            values[out, r, c] = u0


@njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _losses(code, scale, answers, who, count, classes, targets, found, most):
    """The losses of `count` answers, held in columns: found[p] for example who[p]."""
    outputs = answers.shape[0]
    for p in range(count):
        found[p] = 0.0
    if code == SQUARES:
        for c in range(outputs):
            for p in range(count):
                difference = answers[c, p] - targets[who[p], c]
                found[p] += scale * difference * difference
    elif code == BINARY:
        for c in range(outputs):
            for p in range(count):
                v = answers[c, p]
                found[p] += math.log1p(_exp(-abs(v))) + max(v, 0.0) - v * targets[who[p], c] + (v - v)
    else:
        for p in range(count):
            most[p] = answers[0, p]
        for c in range(1, outputs):
            for p in range(count):
                most[p] = max(most[p], answers[c, p])
        for c in range(outputs):
            for p in range(count):
                found[p] += _exp(answers[c, p] - most[p])
        if code == CLASSES:
            for p in range(count):
                found[p] = math.log(found[p]) + most[p] - answers[classes[who[p]], p]
        else:
            for p in range(count):
                found[p] = math.log(found[p]) + most[p]
            for c in range(outputs):
                for p in range(count):  # the targets of an example sum to 1, up to rounding
                    found[p] -= targets[who[p], c] * answers[c, p]


@njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _changes(k, who, count, part, read, base, tail, loss, on, values, answers, found, most):
    """found[p] = loss of example who[p] with candidate k off, minus its loss on, for p < count."""
    widths, codes, parameters, weight, bias = tail
    code, scale, classes, targets = loss
    side, width, depth = 0, widths[0], widths.shape[0] - 1
    for p in range(count):
        n = who[p]
        h = part[k, 0, n]
        for j in range(width):
            values[0, p, j] = base[n, j] - h * read[k, 0, j]
        for r in range(1, part.shape[1]):
            h = part[k, r, n]
            for j in range(width):
                values[0, p, j] -= h * read[k, r, j]
    for layer in range(depth):
        _activate(codes[layer], parameters[layer, 0], parameters[layer, 1], values, side, count, width)
        _linear(values, side, count, width, widths[layer + 1], weight, bias, layer)
        side, width = 1 - side, widths[layer + 1]
    _activate(codes[depth], parameters[depth, 0], parameters[depth, 1], values, side, count, width)
    for p in range(count):
        for c in range(width):
            answers[c, p] = values[side, p, c]
    _losses(code, scale, answers, who, count, classes, targets, found, most)
    for p in range(count):
        found[p] -= on[who[p]]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def changes(first, last, part, read, base, tail, loss, on, sums, rows):
    """The change of the loss for each candidate, in blocks `first` to `last` (left out) of the examples.

    part (candidates, columns, examples): what the reader reads of the candidate; read (candidates, columns, width): the
    weights that read it; base (examples, width): the reader's answer. Summed over each block into `sums` (blocks,
    candidates), and, where there is room for it, each example's into `rows` (candidates, examples).
    """
    candidates, columns, examples = part.shape
    values = np.empty((2, BLOCK, tail[0].max()), base.dtype)
    answers = np.empty((tail[0][-1], BLOCK))
    who, found, most = np.empty(BLOCK + 1, np.int64), np.empty(BLOCK), np.empty(BLOCK)
    for block in range(first, last):
        start, stop = block * BLOCK, min(examples, (block + 1) * BLOCK)
        for k in range(candidates):
            count = 0
            for n in range(start, stop):
                who[count] = n  # kept where the count moves on
                varies = part[k, 0, n] != 0
                for r in range(1, columns):
                    varies |= part[k, r, n] != 0
                count += varies
            _changes(k, who, count, part, read, base, tail, loss, on, values, answers, found, most)
            total = 0.0
            for p in range(count):
                total += found[p]
            sums[block, k] = total
            if rows.shape[0]:
                for p in range(count):
                    rows[k, who[p]] = found[p]
