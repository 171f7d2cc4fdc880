"""Architecture: a trained network as plain data; with its weights file, all that is needed to build it by hand.

``docs/architecture.md`` describes the format for people.
"""

from typing import Any

from evaluators.plan import Plan
from evaluators.setting import Setting
from evaluators.tasks.form import form_of, form_to_json
from spaces.candidate import Candidate
from spaces.description import facts, layers
from spaces.encoders import Encoder
from spaces.network import Network

FORMAT = 2  # 1, which did not say so, was the drawing alone
SOFTMAX, SHARE = "softmax", "share"


def architecture(setting: Setting, plan: Plan, candidate: Candidate, network: Network) -> dict[str, Any]:
    """What stands in architecture.json.

    Args:
        setting: gives space and task.
        plan: how the network was trained, which says what its readout means.
        candidate: of the space.
        network: the candidate's, trained.
    """
    picture = setting.space.picture(setting.task.spec, candidate)
    drawing = {name: picture.pop(name) for name in ("nodes", "edges")}
    return {
        "format": FORMAT,
        **picture,
        "data": form_to_json(form_of(setting.task)),
        "encoder": encoder_of(network, setting),
        "readout": readout_of(plan),
        "layers": layers(network, setting.task.spec),
        **drawing,
    }


def encoder_of(network: Network, setting: Setting) -> str:
    """What gives the network its time: ``frames`` of recordings, ``direct``, or the name of an encoder."""
    if setting.task.spec.frames:
        return "frames"
    return next((facts(one)["kind"] for one in network.modules() if isinstance(one, Encoder)), "direct")


def readout_of(plan: Plan) -> dict[str, Any]:
    """How what the last layer gives becomes an answer.

    The readout is the mean over time. Its ``scale`` times it goes through a softmax, or, where it was trained towards
    one-hot targets, ``share`` is each class's part of what is above 0.
    """
    probabilities = SHARE if plan.loss == "mse" else SOFTMAX
    return {
        "rule": "mean over time steps",
        "answer": "largest",
        "probabilities": probabilities,
        "scale": 1.0 if probabilities == SHARE else plan.logit_scale,
    }
