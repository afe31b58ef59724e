"""Nested tuples, lists and dicts: their leaves, and functions over them (what programs use of torch.utils._pytree)."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

PyTree = Any


class TreeSpec(NamedTuple):
    """The shape of a nested value: its type, what its children alone do not say (the keys of a dict), and the
    children's shapes. type None: a leaf.
    """

    type: Any
    context: Any
    children_specs: Any

    @property
    def num_leaves(self) -> int:
        return 1 if self.type is None else sum(c.num_leaves for c in self.children_specs)

    def is_leaf(self) -> bool:
        return self.type is None


def LeafSpec() -> TreeSpec:
    """The shape of a leaf."""
    return TreeSpec(None, None, ())


class NodeDef(NamedTuple):
    """How values of a type come apart and together."""

    type: Any
    flatten_fn: Callable  # value -> (children, context)
    unflatten_fn: Callable  # (children, context) -> value


def _mapping(make: Callable) -> tuple[Callable, Callable]:
    return lambda d: (list(d.values()), list(d)), lambda values, keys: make(zip(keys, values, strict=True))


SUPPORTED_NODES: dict[Any, NodeDef] = {}


def register_pytree_node(cls: Any, flatten_fn: Callable, unflatten_fn: Callable, **_names: Any) -> None:
    """Let values of a class have children: `flatten_fn` gives (children, context) of a value, `unflatten_fn` makes a
    value of the two. ValueError if the class has been registered.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node  # its older name

register_pytree_node(tuple, lambda t: (list(t), None), lambda children, _: tuple(children))
register_pytree_node(list, lambda t: (t, None), lambda children, _: list(children))
register_pytree_node(dict, *_mapping(dict))
register_pytree_node(OrderedDict, *_mapping(OrderedDict))
# of a named tuple of any class, which is the context
register_pytree_node(NamedTuple, lambda t: (list(t), type(t)), lambda children, cls: cls(*children))
register_pytree_node(
    defaultdict,
    lambda d: (list(d.values()), (d.default_factory, list(d))),
    lambda values, context: defaultdict(context[0], zip(context[1], values, strict=True)),
)
register_pytree_node(deque, lambda d: (list(d), d.maxlen), lambda children, maxlen: deque(children, maxlen))


def _is_namedtuple(tree: Any) -> bool:
    return isinstance(tree, tuple) and hasattr(tree, "_fields")


def _get_node_type(tree: Any) -> Any:
    """The type under which a value is registered, if it is."""
    return NamedTuple if type(tree) not in SUPPORTED_NODES and _is_namedtuple(tree) else type(tree)


def tree_flatten(tree: Any, is_leaf: Callable | None = None) -> tuple[list, TreeSpec]:
    """(the leaves in order, the shape)."""
    kind = _get_node_type(tree)
    if kind not in SUPPORTED_NODES or (is_leaf is not None and is_leaf(tree)):
        return [tree], LeafSpec()
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    leaves, specs = [], []
    for child in children:
        below, spec = tree_flatten(child, is_leaf)
        leaves += below
        specs.append(spec)
    return leaves, TreeSpec(kind, context, tuple(specs))


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The nested value of a shape with these leaves. ValueError if their number does not fit."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten: `leaves` has length {len(leaves)}, the spec wants {treespec.num_leaves}")
    return _built(iter(leaves), treespec)


def _built(leaves: Any, spec: TreeSpec) -> Any:
    if spec.type is None:
        return next(leaves)
    children = [_built(leaves, s) for s in spec.children_specs]
    return SUPPORTED_NODES[spec.type].unflatten_fn(children, spec.context)


def tree_leaves(tree: Any, is_leaf: Callable | None = None) -> list:
    """The leaves, in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable | None = None) -> TreeSpec:
    """The structure without its leaves."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable, tree: Any, *rests: Any, is_leaf: Callable | None = None) -> Any:
    """`func` of every leaf (and of the leaves at its place in `rests`), in the same shape."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_flatten(r, is_leaf)[0] for r in rests]
    return tree_unflatten([func(*each) for each in zip(leaves, *others, strict=True)], spec)


def tree_map_only(kind: Any, func: Callable, tree: Any, is_leaf: Callable | None = None) -> Any:
    """`func` of the leaves of one type; the others as they are."""
    return tree_map(lambda leaf: func(leaf) if isinstance(leaf, kind) else leaf, tree, is_leaf=is_leaf)


def tree_all(pred: Callable, tree: Any) -> bool:
    """Whether `pred` holds for all leaves."""
    return all(map(pred, tree_leaves(tree)))


def tree_any(pred: Callable, tree: Any) -> bool:
    """Whether `pred` holds for a leaf."""
    return any(map(pred, tree_leaves(tree)))
