"""Where checkpoints of trainings lie that others than this process write: a folder or a URI that all nodes see."""

import re
import secrets
import warnings
from pathlib import Path

from evaluators.checkpoint import Place, drop, join, read_tensors, save_tensors
from results.folder import RunFolder
from search.runners.cluster import WORKER_START
from spaces.credentials import has_gap, hide, without_credentials, without_gap
from spaces.errors import OptionError, RunError, SearchError, one_line
from spaces.paths import user_path
from spaces.terminal import text_name


def place_of(storage: str | None, folder: RunFolder) -> Place:
    """Where a run's checkpoints lie: in its folder, or in a folder of its name below ``storage``.

    Where a run was begun with credentials, which it does not keep, those of the environment are used.
    """
    if storage is None:
        return folder.path.absolute() / "checkpoints"
    place, home = storage_place(storage), folder.path.resolve()
    if isinstance(place, Path):
        return place / home.name
    plain = re.sub("[?#%]", lambda found: f"%{ord(found[0]):02X}", text_name(home))  # they mean something else in a URI
    return f"{place.rstrip('/')}/{plain}"


def storage_place(storage: str) -> Place:
    """The folder or URI that ``--storage`` names.

    Raises:
        OptionError: no folder can have such a path, or nothing can reach such a URI.
    """
    storage = without_gap(storage) if has_gap(storage) else storage
    if "://" not in storage:
        return user_path(storage, "--storage").absolute()
    if storage.startswith("file://"):
        return user_path(storage.removeprefix("file://"), "--storage")
    from fsspec.core import url_to_fs

    try:
        url_to_fs(storage)
    except Exception as error:  # each kind of storage has its own
        fault = hide(one_line(error), [storage])
        raise OptionError(
            f"--storage {without_credentials(storage)!r} cannot be used ({fault}): mend that, or give a shared folder"
        ) from None  # a traceback might show what is hidden
    return storage


def check_storage(storage: str) -> None:
    """Raises OptionError where ``--storage`` names no place; says so where its credentials are the environment's."""
    if has_gap(storage):
        warnings.warn(
            f"a run keeps no credentials: those of its --storage {storage} are now taken from the environment, as "
            "fsspec and the storage's own library read them (FSSPEC_FTP_PASSWORD, ...); or give --storage again",
            RuntimeWarning,
            stacklevel=2,
        )
    storage_place(storage)


def check_shared(place: Place) -> None:
    """Raises RunError unless every node of the Ray that is connected reads there what this process writes.

    In a Ray of this machine alone a folder needs no look.
    """
    import ray
    import torch
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) == 1 and isinstance(place, Path):
        return
    token = secrets.token_hex(8)
    probe, shown = join(place, f"probe-{token}.safetensors"), without_credentials(str(place))
    way_out = "give --storage a folder or URI that all nodes see"

    def look() -> str:
        try:
            return "" if read_tensors(probe, match=token) else "does not see what is written here"
        except SearchError as error:
            return f"cannot read there ({one_line(error)})"

    try:
        save_tensors(probe, {"probe": torch.zeros(1)}, {"match": token})
        asked = {
            ray.remote(num_cpus=0)(look)
            .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote(): node["NodeManagerAddress"]
            for node in nodes
        }
        ready, waiting = ray.wait(list(asked), num_returns=len(asked), timeout=WORKER_START)
        said = {asked[answer]: ray.get(answer) for answer in ready}
    finally:
        drop(probe)
    for address, fault in said.items():
        if fault:
            raise RunError(f"storage {shown!r} is not shared: node {address} {fault}; {way_out}")
    for answer in waiting:
        raise RunError(
            f"nobody knows whether storage {shown!r} is shared: node {asked[answer]} did not answer within "
            f"{WORKER_START:g} seconds; mend or remove that node, or wait until it is less busy"
        )
