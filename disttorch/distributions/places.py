"""PyTorch's files of distributions that are other files here: torch.distributions.normal.Normal is found."""

import sys

from . import (
    binomial,
    bounded,
    categorical,
    counts,
    distribution,
    extremes,
    gamma,
    half,
    location_scale,
    log_normal,
    low_rank,
    matrices,
    mixture,
    relaxed,
    student,
    transformed,
)

PLACES = {
    "bernoulli": counts, "beta": gamma, "chi2": gamma, "continuous_bernoulli": bounded, "dirichlet": gamma,
    "exp_family": distribution, "fishersnedecor": student, "generalized_pareto": bounded, "geometric": counts,
    "gumbel": extremes, "half_cauchy": half, "half_normal": half, "kumaraswamy": extremes, "laplace": location_scale,
    "lkj_cholesky": matrices, "logistic_normal": log_normal, "lowrank_multivariate_normal": low_rank,
    "mixture_same_family": mixture, "multinomial": binomial, "negative_binomial": binomial, "normal": location_scale,
    "one_hot_categorical": categorical, "pareto": extremes, "poisson": counts, "relaxed_bernoulli": relaxed,
    "relaxed_categorical": relaxed, "studentT": student, "transformed_distribution": transformed, "weibull": extremes,
    "wishart": matrices,
}  # fmt: skip
for name, module in PLACES.items():
    sys.modules[f"{__package__}.{name}"] = module
    setattr(sys.modules[__package__], name, module)
