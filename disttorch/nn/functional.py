"""torch.nn.functional: the operations of neural networks under its names and signatures."""
# ruff: noqa: F401, I001 - the names are for others, a line for many

from ..ops.activation import (
    celu, celu_, elu, elu_, gelu, glu, hardshrink, hardsigmoid, hardswish, hardtanh, hardtanh_, leaky_relu,
    leaky_relu_, logsigmoid, mish, prelu, relu, relu6, relu_, rrelu, rrelu_, selu, selu_, silu, softplus, softshrink,
    softsign, tanhshrink, threshold, threshold_,
)  # fmt: skip
from ..ops.adaptive_pooling import (
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices, adaptive_max_pool2d, adaptive_max_pool2d_with_indices, adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
)  # fmt: skip
from ..ops.attention import scaled_dot_product_attention
from ..ops.convolution import conv1d, conv2d, conv3d, conv_tbc, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..ops.ctc import ctc_loss
from ..ops.distance import cosine_similarity, normalize, pairwise_distance, pdist
from ..ops.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from ..ops.embedding import embedding, embedding_bag, one_hot
from ..ops.fractional import (
    fractional_max_pool2d, fractional_max_pool2d_with_indices, fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
)  # fmt: skip
from ..ops.grid import affine_grid, grid_sample
from ..ops.linear import bilinear, linear
from ..ops.loss import cross_entropy, linear_cross_entropy, nll_loss
from ..ops.margin_losses import (
    cosine_embedding_loss, margin_ranking_loss, multi_margin_loss, multilabel_margin_loss,
    multilabel_soft_margin_loss, triplet_margin_loss, triplet_margin_with_distance_loss,
)  # fmt: skip
from ..ops.multihead import multi_head_attention_forward
from ..ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
from ..ops.padding import pad
from ..ops.pair_losses import (
    binary_cross_entropy, binary_cross_entropy_with_logits, gaussian_nll_loss, hinge_embedding_loss, huber_loss,
    kl_div, l1_loss, mse_loss, poisson_nll_loss, smooth_l1_loss, soft_margin_loss,
)  # fmt: skip
from ..ops.pooling import (
    avg_pool1d, avg_pool2d, avg_pool3d, lp_pool1d, lp_pool2d, lp_pool3d, max_pool1d, max_pool1d_with_indices,
    max_pool2d, max_pool2d_with_indices, max_pool3d, max_pool3d_with_indices, max_unpool1d, max_unpool2d,
    max_unpool3d,
)  # fmt: skip
from ..ops.rearranging import channel_shuffle, fold, pixel_shuffle, pixel_unshuffle, unfold
from ..ops.resampling import interpolate, upsample, upsample_bilinear, upsample_nearest
from ..ops.softmax import functional_log_softmax as log_softmax
from ..ops.softmax import functional_softmax as softmax
from ..ops.softmax import functional_softmin as softmin
from ..ops.softmax import gumbel_softmax
from ..ops.unary import sigmoid, tanh

native_channel_shuffle = channel_shuffle
