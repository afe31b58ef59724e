"""PyTorch's files of distributions that are other files here: torch.distributions.normal.Normal is found."""

import sys

from . import (
    binomial,
    categorical,
    counts,
    distribution,
    extremes,
    gamma,
    half,
    location_scale,
    log_normal,
    low_rank,
    mixture,
    relaxed,
    student,
    transformed,
)  # fmt: skip

PLACES = {
    "bernoulli": counts, "beta": gamma, "chi2": gamma, "dirichlet": gamma, "exp_family": distribution,
    "fishersnedecor": student, "geometric": counts, "gumbel": extremes, "half_cauchy": half, "half_normal": half,
    "kumaraswamy": extremes, "laplace": location_scale, "logistic_normal": log_normal,
    "lowrank_multivariate_normal": low_rank, "mixture_same_family": mixture, "multinomial": binomial,
    "negative_binomial": binomial, "normal": location_scale, "one_hot_categorical": categorical, "pareto": extremes,
    "poisson": counts, "relaxed_bernoulli": relaxed, "relaxed_categorical": relaxed, "studentT": student,
    "transformed_distribution": transformed, "weibull": extremes,
}  # fmt: skip
for name, module in PLACES.items():
    sys.modules[f"{__package__}.{name}"] = module
    setattr(sys.modules[__package__], name, module)
