"""What a configuration names, made: the space, the data, how candidates are trained and scored, the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from evaluators.energy import ENERGY_MODELS
from evaluators.setting import Recipe, Setting
from evaluators.tasks.classes import balanced_weights
from evaluators.tasks.load import load_task
from evaluators.tasks.task import Task
from evaluators.training import Plan
from search.loop.goal import make_goal
from search.options.config import Config, parse_time_schedule
from search.work.steps import batch_for
from spaces.candidate import READINGS
from spaces.errors import OptionError, one_line, unknown
from spaces.find import make_space
from spaces.space import Space
from spaces.sparsity import with_sparsity

DEVICES = ("cpu", "cuda", "mps", "xpu")
DEFAULT_SPACE = "autosnn"


def config_space(config: Config) -> tuple[Space, Config]:
    """The space a configuration names, and the configuration with the space's own defaults spelt out."""
    options = {"width": config.width, "timesteps": config.timesteps, "neuron": config.neuron}
    name = config.space or DEFAULT_SPACE
    space, used = make_space(name, options=options, compiled=config.compile)
    if config.search_sparsity is not None:
        space = with_sparsity(space, config.search_sparsity)
    return space, replace(config, space=name, **used)


def make_setting(config: Config, space: Space, task: Task) -> Setting:
    """How a configuration trains and scores."""
    plan = Plan(
        epochs=config.supernet_epochs,
        batch_size=config.batch_size or batch_for(len(task.train)),
        learning_rate=config.learning_rate,
        loss=config.loss,
        logit_scale=config.logit_scale,
        time_schedule=parse_time_schedule(config.time_schedule),
        precision=config.precision,
        class_weights=balanced_weights(task) if config.class_weights == "balanced" else (),
    )
    recipe = Recipe(
        plan=plan,
        path_rule=config.path_rule,
        paths=config.paths,
        entangled=config.supernet_weights == "entangled",
        norm_scale=config.norm_scale,
        head_gain=config.head_gain,
        identity=config.kernel_init == "identity",
        few_shot=config.few_shot,
        few_shot_epochs=config.few_shot_epochs,
        supernets=config.supernets,
        recalibration_samples=config.recalibration_samples,
        threshold_balancing=config.threshold_balancing,
    )
    model = ENERGY_MODELS[config.energy_model]
    columns = make_goal(config).columns
    readings = tuple(name for name in READINGS if name in columns)
    return Setting(
        space=space,
        task=task,
        recipe=recipe,
        model=model,
        seed=config.seed,
        device=config.device,
        readings=readings,
    )


def load_config_task(config: Config, space: Space) -> Task:
    """The task a configuration names; recordings are cut into as many frames as the space has time steps."""
    return load_task(
        config.data,
        data_dir=config.data_dir,
        download=config.download,
        verify=config.verify,
        train_samples=config.train_samples,
        val_samples=config.val_samples,
        frames=space.timesteps,
        event_frames=config.event_frames,
        event_scale=config.event_scale,
        sensor=config.sensor,
        event_columns=config.event_columns,
        image_size=config.image_size,
        image_fit=config.image_fit,
        test_share=config.test_share,
        seed=config.seed,
    )


def make_device(name: str) -> str:
    """The device to use; ``auto`` takes a GPU where there is one. Raises OptionError if it cannot be used."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in DEVICES:
        raise OptionError(f"--device {name!r}: {unknown('device', name.split(':')[0], DEVICES)}")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"--device {name!r} cannot be used here ({one_line(error)}); use cpu or auto") from error
    return name


@contextmanager
def held(number: int) -> Iterator[None]:
    """Within, PyTorch has so many threads, and the same seed gives the same run on a GPU, too."""
    before, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(number)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = deterministic
