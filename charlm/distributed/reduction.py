"""The tree along which gradients are summed, whichever ranks hold them.

With 4 shards it is (g0 + g1) + (g2 + g3), whether one rank holds all of them or each of four ranks
holds one. So the sum is bit-identical.
"""

from collections.abc import Mapping

from charlm.system.arrays import Array

Node = tuple[int, int]  # (start, stop): the sum of the shards start to stop - 1


def middle(node: Node) -> int:
    """Return where a node of several shards splits: after the largest power of two below."""
    start, stop = node
    return start + (1 << (stop - start - 1).bit_length() - 1)


def nodes_within(share: range, node: Node) -> list[Node]:
    """Return the largest nodes at or below `node` that contain only shards of `share`."""
    start, stop = node
    if share.start <= start and stop <= share.stop:
        return [node]
    if stop <= share.start or share.stop <= start or stop - start < 2:
        return []
    cut = middle(node)
    return nodes_within(share, (start, cut)) + nodes_within(share, (cut, stop))


def add_up(sums: Mapping[Node, Array], node: Node) -> Array:
    """Compute the sum of a node in the order of the tree, in the memory of its first part.

    Args:
        sums: known nodes that make up the whole node; they are overwritten.
        node: the node to compute.
    """
    if node in sums:
        return sums[node]
    cut = middle(node)
    total = add_up(sums, (node[0], cut))
    total += add_up(sums, (cut, node[1]))
    return total
