"""The first part of every job that trains: what a configuration names is made and checked, and nothing begun."""

from dataclasses import replace
from typing import Any

import torch

from evaluators.energy import ENERGY_MODELS
from evaluators.setting import Setting
from evaluators.tasks.classes import chance
from evaluators.tasks.task import Task
from results.classes import remarks
from search.loop.goal import Goal, make_goal
from search.options.config import Config, change
from search.setting import config_space, load_config_task, make_device, make_setting
from search.storage import check_storage
from search.work.checks import check_fit, check_parts
from search.work.exact import check_reachable
from search.work.steps import with_steps
from spaces.errors import OptionError, unknown


def prepare_setting(config: Config) -> tuple[Config, Setting, Goal]:
    """A configuration spelt out, how it trains and scores, and its goal; checked, and nothing begun.

    Raises:
        SearchError: something the user can mend.
    """
    if config.workers.storage is not None:
        check_storage(config.workers.storage)  # early
    config = change(
        config, device=make_device(config.machine.device), threads=config.machine.threads or torch.get_num_threads()
    )
    (space, config), goal = config_space(config), make_goal(config)
    if config.goal.energy_model not in ENERGY_MODELS:
        raise OptionError(f"--energy-model: {unknown('energy model', config.goal.energy_model, ENERGY_MODELS)}")
    config, task = with_steps(config, load_config_task(config, space))
    goal = replace(goal, floor=config.goal.floor, chance=chance(task))
    check_fit(space, task, config.space.name)
    setting = make_setting(config, space, task)
    check_parts(config, setting)
    check_reachable(setting, goal, config)
    setting.recipe.families(space)  # early, where --few-shot names none
    return config, setting, goal


def provenance_of(task: Task, config: Config, goal: Goal) -> dict[str, Any]:
    """Facts about the data for config.json, with what is to be told of them."""
    facts = {"name": task.name, "augment": task.augment, **task.provenance}
    bounded = [constraint.metric for constraint in goal.constraints]
    told = [*facts.get("remarks", ()), *remarks(facts, goal.objectives, bounded, config.training.class_weights)]
    return facts | ({"remarks": told} if told else {})
