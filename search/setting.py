"""What a configuration names, made: the space, the data, how candidates are trained and scored, the device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from evaluators.energy import ENERGY_MODELS
from evaluators.plan import Plan
from evaluators.setting import Recipe, Setting
from evaluators.tasks.classes import balanced_weights
from evaluators.tasks.load import load_task
from evaluators.tasks.task import Task
from search.loop.goal import make_goal
from search.options.config import Config, change
from search.options.rules import parse_time_schedule
from search.work.steps import batch_for
from spaces.candidate import READINGS
from spaces.errors import OptionError, one_line, unknown
from spaces.find import make_space
from spaces.fixed import parse_fixed, with_fixed
from spaces.space import Space
from spaces.sparsity import with_sparsity

DEVICES = ("cpu", "cuda", "mps", "xpu")
DEFAULT_SPACE = "autosnn"


def config_space(config: Config) -> tuple[Space, Config]:
    """The space a configuration names, and the configuration with the space's own defaults spelt out."""
    options = {"width": config.space.width, "timesteps": config.space.timesteps, "neuron": config.space.neuron}
    name = config.space.name or DEFAULT_SPACE
    space, used = make_space(name, options=options, compiled=config.machine.compile)
    if config.space.search_sparsity is not None:
        space = with_sparsity(space, config.space.search_sparsity)
    if config.space.fix:
        space = with_fixed(space, parse_fixed(space, config.space.fix))
    return space, change(config, space=name, **used)


def make_setting(config: Config, space: Space, task: Task) -> Setting:
    """How a configuration trains and scores."""
    plan = Plan(
        epochs=config.supernet.epochs,
        batch_size=config.training.batch_size or batch_for(len(task.train)),
        learning_rate=config.training.learning_rate,
        loss=config.training.loss,
        logit_scale=config.training.logit_scale,
        time_schedule=parse_time_schedule(config.supernet.time_schedule),
        precision=config.training.precision,
        class_weights=balanced_weights(task) if config.training.class_weights == "balanced" else (),
    )
    recipe = Recipe(
        plan=plan,
        path_rule=config.supernet.path_rule,
        paths=config.supernet.paths,
        entangled=config.supernet.weights == "entangled",
        norm_scale=config.training.norm_scale,
        head_gain=config.training.head_gain,
        identity=config.training.kernel_init == "identity",
        few_shot=config.supernet.few_shot,
        few_shot_epochs=config.supernet.few_shot_epochs,
        supernets=config.supernet.supernets,
        recalibration_samples=config.training.recalibration_samples,
        threshold_balancing=config.supernet.threshold_balancing,
    )
    model = ENERGY_MODELS[config.goal.energy_model]
    columns = make_goal(config).columns
    readings = tuple(name for name in READINGS if name in columns)
    return Setting(
        space=space,
        task=task,
        recipe=recipe,
        model=model,
        seed=config.search.seed,
        device=config.machine.device,
        readings=readings,
    )


def load_config_task(config: Config, space: Space) -> Task:
    """The task a configuration names; recordings are cut into as many frames as the space has time steps."""
    return load_task(
        config.data.name,
        data_dir=config.data.data_dir,
        download=config.data.download,
        verify=config.data.verify,
        train_samples=config.data.train_samples,
        val_samples=config.data.val_samples,
        frames=space.timesteps,
        event_frames=config.data.event_frames,
        event_scale=config.data.event_scale,
        sensor=config.data.sensor,
        event_columns=config.data.event_columns,
        image_size=config.data.image_size,
        image_fit=config.data.image_fit,
        test_share=config.data.test_share,
        seed=config.search.seed,
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
