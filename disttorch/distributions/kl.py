"""kl_divergence: how far a distribution p is from q, the mean of log p - log q under p."""

import math
from collections.abc import Callable

from .. import linalg, ops
from ..autograd.variable import Tensor
from .binomial import Binomial
from .bounded import ContinuousBernoulli
from .categorical import Categorical, OneHotCategorical
from .cauchy import Cauchy
from .counts import Bernoulli, Geometric, Poisson
from .distribution import Distribution
from .exponential import Exponential
from .extremes import Gumbel, Pareto
from .gamma import Beta, Dirichlet, Gamma
from .half import HalfNormal
from .independent import Independent
from .location_scale import Laplace, Normal
from .matrices import Wishart
from .multivariate_normal import MultivariateNormal
from .transformed import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant

_FORMULAS: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """A decorator: the function gives kl_divergence(p, q) for these classes and those derived from them."""
    if not (isinstance(type_p, type) and issubclass(type_p, Distribution)):
        raise TypeError(f"Expected type_p to be a Distribution subclass but got {type_p}")
    if not (isinstance(type_q, type) and issubclass(type_q, Distribution)):
        raise TypeError(f"Expected type_q to be a Distribution subclass but got {type_q}")

    def decorator(function: Callable) -> Callable:
        _FORMULAS[type_p, type_q] = function
        return function

    return decorator


def _formula(p: type, q: type) -> Callable | None:
    """The formula of the nearest classes above p and q; where two are as near, the one nearer to p."""
    found = [
        (p.__mro__.index(a) + q.__mro__.index(b), p.__mro__.index(a), function)
        for (a, b), function in _FORMULAS.items()
        if issubclass(p, a) and issubclass(q, b)
    ]
    return min(found, key=lambda row: row[:2])[2] if found else None


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q), of shape batch_shape. NotImplementedError for pairs without a formula."""
    function = _formula(type(p), type(q))
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        )
    return function(p, q)


@register_kl(Normal, Normal)
def _normals(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
def _half_normals(p, q):
    return _normals(p.base_dist, q.base_dist)


@register_kl(Cauchy, Cauchy)
def _cauchys(p, q):
    return ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log()


@register_kl(Gumbel, Gumbel)
def _gumbels(p, q):
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return ratio * euler_constant - ratio.log() - shift + ops.exp(shift + (1 + ratio).lgamma()) - (1 + euler_constant)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoullis(p, q):
    norms = p._cont_bern_log_norm() - q._cont_bern_log_norm()
    return p.mean * (p.logits - q.logits) + norms + ops.log1p(-p.probs) - ops.log1p(-q.probs)


@register_kl(Wishart, Wishart)
def _wisharts(p, q):
    a, b, d = p.df, q.df, p.event_shape[-1]
    trace = (q.precision_matrix * p.covariance_matrix).sum((-2, -1))
    norms = ops.mvlgamma(b / 2, d) - ops.mvlgamma(a / 2, d) + b * (q._half_log_det() - p._half_log_det())
    return norms + (a - b) / 2 * p._mean_log_slope() + a / 2 * (trace - d)


@register_kl(Pareto, Pareto)
def _paretos(p, q):
    ratio = q.alpha / p.alpha
    made = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return made.masked_fill(p.scale < q.scale, math.inf)


@register_kl(Binomial, Binomial)
def _binomials(p, q):
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return (p.total_count * each).masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplaces(p, q):
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + away / q.scale + ratio * ops.exp(-away / p.scale) - 1


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normals(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be computed"
        )
    shape = (*ops.broadcast_shapes(p.batch_shape, q.batch_shape), *p.event_shape, *p.event_shape)
    mine, theirs = p._unbroadcasted_scale_tril.expand(shape), q._unbroadcasted_scale_tril.expand(shape)
    trace = linalg.solve_triangular(theirs, mine, upper=False).pow(2).sum((-2, -1))
    away = (q.loc - p.loc).expand(shape[:-1]).unsqueeze(-1)
    distance = linalg.solve_triangular(theirs, away, upper=False).squeeze(-1).pow(2).sum(-1)
    return q._half_log_det() - p._half_log_det() + 0.5 * (trace + distance - p.event_shape[0])


@register_kl(Categorical, Categorical)
def _categoricals(p, q):
    terms = p.probs * (p.logits - q.logits)
    terms = terms.masked_fill((q.probs == 0).expand_as(terms), float("inf"))
    return terms.masked_fill((p.probs == 0).expand_as(terms), 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hots(p, q):
    return _categoricals(p._categorical, q._categorical)


def _xlogy_ratio(x: Tensor, y: Tensor) -> Tensor:
    """x * log(x / y): 0 where x is, infinite where only y is."""
    made = (x * (x / y).log()).masked_fill(y.expand_as(x + y) == 0, float("inf"))
    return made.masked_fill(x.expand_as(made) == 0, 0)


@register_kl(Bernoulli, Bernoulli)
def _bernoullis(p, q):
    return _xlogy_ratio(p.probs, q.probs) + _xlogy_ratio(1 - p.probs, 1 - q.probs)


@register_kl(Geometric, Geometric)
def _geometrics(p, q):
    return -p.entropy() - ops.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poissons(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Exponential, Exponential)
def _exponentials(p, q):
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Gamma, Gamma)
def _gammas(p, q):
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma() + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlets(p, q):
    a, b = p.concentration, q.concentration
    whole = a.sum(-1)
    return (
        whole.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
        + ((a - b) * (a.digamma() - whole.digamma().unsqueeze(-1))).sum(-1)
    )  # fmt: skip


@register_kl(Beta, Beta)
def _betas(p, q):
    return _dirichlets(p._dirichlet, q._dirichlet)


@register_kl(Uniform, Uniform)
def _uniforms(p, q):
    made = ((q.high - q.low) / (p.high - p.low)).log()
    return made.masked_fill((q.low > p.low) | (q.high < p.high), float("inf"))


@register_kl(Independent, Independent)
def _independents(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return p._added(kl_divergence(p.base_dist, q.base_dist))
