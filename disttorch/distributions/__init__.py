"""torch.distributions: probability distributions that can be sampled from, asked for densities, and differentiated."""

from . import constraints, kl_pairs, places, transforms
from .binomial import Binomial, Multinomial, NegativeBinomial
from .bounded import ContinuousBernoulli, GeneralizedPareto
from .categorical import Categorical, OneHotCategorical, OneHotCategoricalStraightThrough
from .cauchy import Cauchy
from .constraint_registry import biject_to, transform_to
from .counts import Bernoulli, Geometric, Poisson
from .distribution import Distribution, ExponentialFamily
from .exponential import Exponential
from .extremes import Gumbel, Kumaraswamy, Pareto, Weibull
from .gamma import Beta, Chi2, Dirichlet, Gamma
from .half import HalfCauchy, HalfNormal
from .independent import Independent
from .inverse_gamma import InverseGamma
from .kl import kl_divergence, register_kl
from .location_scale import Laplace, Normal
from .log_normal import LogisticNormal, LogNormal
from .low_rank import LowRankMultivariateNormal
from .matrices import LKJCholesky, Wishart
from .mixture import MixtureSameFamily
from .multivariate_normal import MultivariateNormal
from .relaxed import RelaxedBernoulli, RelaxedOneHotCategorical
from .student import FisherSnedecor, StudentT
from .transformed import TransformedDistribution
from .transforms import *
from .uniform import Uniform
from .von_mises import VonMises

__all__ = [
    "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Chi2", "ContinuousBernoulli", "Dirichlet",
    "Distribution", "Exponential", "ExponentialFamily", "FisherSnedecor", "Gamma", "GeneralizedPareto", "Geometric",
    "Gumbel", "HalfCauchy", "HalfNormal", "Independent", "InverseGamma", "Kumaraswamy", "LKJCholesky", "Laplace",
    "LogNormal", "LogisticNormal", "LowRankMultivariateNormal", "MixtureSameFamily", "Multinomial",
    "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical", "OneHotCategoricalStraightThrough",
    "Pareto", "Poisson", "RelaxedBernoulli", "RelaxedOneHotCategorical", "StudentT", "TransformedDistribution",
    "Uniform", "VonMises", "Weibull", "Wishart", "biject_to", "constraints", "kl_divergence", "register_kl",
    "transform_to", "transforms", *transforms.__all__,
]  # fmt: skip
