// Operators of TorchScript that a model file may use: arithmetic on tensors and numbers, and control flow that ends.
// Nothing here reads or writes files, draws random numbers, prints, starts threads or changes the weights. The twin of
// ALLOWED_OPERATORS in python/transip_md/modelfile/operators.py; a test compares the two.
#pragma once

#include <string_view>

namespace transip {

constexpr std::string_view allowed_operators[] = {
    "aten::Bool", "aten::Float", "aten::FloatImplicit", "aten::Int", "aten::IntImplicit", "aten::ScalarImplicit",
    "aten::__and__", "aten::__contains__", "aten::__derive_index", "aten::__getitem__", "aten::__is__",
    "aten::__isnot__", "aten::__not__", "aten::__or__", "aten::__range_length", "aten::__xor__", "aten::abs",
    "aten::acos", "aten::add", "aten::add_", "aten::addcmul", "aten::addmm", "aten::all", "aten::amax", "aten::amin",
    "aten::any", "aten::append", "aten::arange", "aten::argmax", "aten::argmin", "aten::argsort", "aten::asin",
    "aten::atan", "aten::atan2", "aten::baddbmm", "aten::bitwise_and", "aten::bitwise_not", "aten::bitwise_or",
    "aten::bmm", "aten::cat", "aten::cdist", "aten::ceil", "aten::chunk", "aten::clamp", "aten::clamp_",
    "aten::clamp_max", "aten::clamp_min", "aten::clone", "aten::concat", "aten::constant_pad_nd", "aten::contiguous",
    "aten::copy_", "aten::cos", "aten::cosh", "aten::count_nonzero", "aten::cross", "aten::cumsum", "aten::detach",
    "aten::diag", "aten::diag_embed", "aten::diagonal", "aten::dim", "aten::div", "aten::div_", "aten::dot",
    "aten::dropout", "aten::einsum", "aten::elu", "aten::embedding", "aten::eq", "aten::erf", "aten::erfc", "aten::exp",
    "aten::expand", "aten::expand_as", "aten::expm1", "aten::extend", "aten::eye", "aten::fill_", "aten::flatten",
    "aten::floor", "aten::floordiv", "aten::fmod", "aten::format", "aten::full", "aten::full_like", "aten::gather",
    "aten::ge", "aten::gelu", "aten::grad", "aten::gt", "aten::hypot", "aten::index", "aten::index_add",
    "aten::index_add_", "aten::index_copy", "aten::index_fill", "aten::index_put", "aten::index_put_",
    "aten::index_select", "aten::inverse", "aten::is_floating_point", "aten::isfinite", "aten::isnan", "aten::item",
    "aten::layer_norm", "aten::le", "aten::leaky_relu", "aten::len", "aten::lerp", "aten::linalg_cross",
    "aten::linalg_det", "aten::linalg_eigh", "aten::linalg_eigvalsh", "aten::linalg_inv", "aten::linalg_norm",
    "aten::linalg_solve", "aten::linalg_vector_norm", "aten::linear", "aten::linspace", "aten::log", "aten::log10",
    "aten::log1p", "aten::log2", "aten::log_softmax", "aten::logical_and", "aten::logical_not", "aten::logical_or",
    "aten::logical_xor", "aten::logsumexp", "aten::lt", "aten::masked_fill", "aten::masked_fill_",
    "aten::masked_scatter", "aten::masked_select", "aten::matmul", "aten::max", "aten::maximum", "aten::mean",
    "aten::min", "aten::minimum", "aten::mish", "aten::mm", "aten::movedim", "aten::mul", "aten::mul_", "aten::mv",
    "aten::narrow", "aten::ne", "aten::neg", "aten::new_full", "aten::new_ones", "aten::new_zeros", "aten::nonzero",
    "aten::norm", "aten::numel", "aten::one_hot", "aten::ones", "aten::ones_like", "aten::outer", "aten::pad",
    "aten::permute", "aten::pow", "aten::prod", "aten::reciprocal", "aten::relu", "aten::relu_", "aten::remainder",
    "aten::repeat", "aten::repeat_interleave", "aten::requires_grad_", "aten::reshape", "aten::roll", "aten::round",
    "aten::rsqrt", "aten::rsub", "aten::scalar_tensor", "aten::scaled_dot_product_attention", "aten::scatter",
    "aten::scatter_add", "aten::scatter_add_", "aten::select", "aten::sigmoid", "aten::sign", "aten::silu",
    "aten::silu_", "aten::sin", "aten::sinh", "aten::size", "aten::slice", "aten::softmax", "aten::softplus",
    "aten::sort", "aten::split", "aten::split_with_sizes", "aten::sqrt", "aten::square", "aten::squeeze", "aten::stack",
    "aten::std", "aten::sub", "aten::sub_", "aten::sum", "aten::swapaxes", "aten::t", "aten::tan", "aten::tanh",
    "aten::tensor", "aten::tile", "aten::to", "aten::topk", "aten::trace", "aten::transpose", "aten::tril",
    "aten::triu", "aten::trunc", "aten::truncate", "aten::type_as", "aten::unbind", "aten::unflatten",
    "aten::unsqueeze", "aten::unsqueeze_", "aten::var", "aten::view", "aten::view_as", "aten::where", "aten::zero_",
    "aten::zeros", "aten::zeros_like", "prim::CallFunction", "prim::CallMethod", "prim::Constant",
    "prim::DictConstruct", "prim::GetAttr", "prim::If", "prim::ListConstruct", "prim::ListUnpack", "prim::Loop",
    "prim::NumToTensor", "prim::RaiseException", "prim::TupleConstruct", "prim::TupleIndex", "prim::TupleSlice",
    "prim::TupleUnpack", "prim::Uninitialized", "prim::abs", "prim::annotate", "prim::data", "prim::device",
    "prim::dtype", "prim::is_cpu", "prim::is_cuda", "prim::isinstance", "prim::layout", "prim::max", "prim::min",
    "prim::rangelist", "prim::unchecked_cast", "prim::unchecked_unwrap_optional",
};

}  // namespace transip
