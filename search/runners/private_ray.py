"""What we use of Ray that is not public, for which there is no public way; tried with Ray 2.50 to 2.60.

Where a later Ray has it no more, a run goes on without: it listens on all addresses, or knows of no autoscaler.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loopback_kept() -> Iterator[None]:
    """Within, a Ray that is started keeps the loopback address, which it takes for an outer one otherwise."""
    try:
        from ray._private import ray_constants
    except ImportError:
        yield
        return
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def nodes_to_come() -> list[dict[str, float]]:
    """Resources of the nodes that an autoscaler may add to the cluster that is joined."""
    try:
        from ray._private.state import state

        config = state.get_cluster_config()
    except (ImportError, AttributeError):
        return []
    return [dict(group.resources) for group in config.node_group_configs] if config else []
