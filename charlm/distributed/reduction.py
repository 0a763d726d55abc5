"""The tree along which gradients are summed, whoever holds them.

With 4 shards it is (g0 + g1) + (g2 + g3), whether one rank has all of them or each of four ranks
has one. So the sum is bit-identical.
"""

from collections.abc import Mapping

from charlm.system.arrays import Array

Node = tuple[int, int]  # of the tree: the sum of shards from one to before another


def middle(node: Node) -> int:
    """Where a sum of several shards is cut in two: after the greatest power of two below."""
    start, stop = node
    return start + (1 << (stop - start - 1).bit_length() - 1)


def nodes_within(share: range, node: Node) -> list[Node]:
    """The largest sums below a node that can be made of a share of the shards alone."""
    start, stop = node
    if share.start <= start and stop <= share.stop:
        return [node]
    if stop <= share.start or share.stop <= start or stop - start < 2:
        return []
    cut = middle(node)
    return nodes_within(share, (start, cut)) + nodes_within(share, (cut, stop))


def add_up(sums: Mapping[Node, Array], node: Node) -> Array:
    """The sum of a node in the order of the tree, in the memory of its first part.

    Args:
        sums: nodes that are known, which make up the whole node; they are overwritten.
        node: which sum.
    """
    if node in sums:
        return sums[node]
    cut = middle(node)
    total = add_up(sums, (node[0], cut))
    total += add_up(sums, (cut, node[1]))
    return total
