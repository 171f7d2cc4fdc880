"""Trainings carried by Ray Tune: several at once, on the workers of a Ray.

A trial is one training from where its checkpoint stands to an epoch that it is asked for, a step an epoch, each of
which leaves a checkpoint. What is trained, how far, and what follows from it is the driver's: Tune's searcher hands out
what the driver asks for, and results go back in the order of asking, so nothing depends on who was faster. Nor is
Tune's own record of an experiment needed to go on with a run: the ledger, what rungs measured and the checkpoints say
it all.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

import torch
from ray import tune
from ray.tune.search import Searcher

from evaluators.checkpoint import read_checkpoint
from evaluators.scores import failure
from search.loop.memory import AGAIN, fitting, is_open, is_short
from search.runners.cluster import Cluster
from search.storage import check_shared
from search.work.finalists import Carry, Finalist, Training, checkpoint_of, train
from spaces.candidate import ACCURACIES, Score
from spaces.errors import ClusterError, RunError
from spaces.faults import is_candidates
from spaces.temporary import temporary_folder
from spaces.terminal import text_name

OFTEN = 0.2  # seconds between looks whether Tune still lives
SETTINGS = {  # of Tune, which takes them from the environment
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


@dataclass(kw_only=True)
class Task:
    """One training, to an epoch: ``ended`` once it has a score or a fault; ``lost`` counts its workers' deaths."""

    finalist: Finalist
    until: int
    lost: int = 0
    ended: Event = field(default_factory=Event)
    score: Score | None = None
    fault: BaseException | None = None


class Trial(tune.Trainable):
    """A worker's side: trains an epoch a step, and tells how the network then does on the validation split."""

    def setup(self, config: dict[str, Any], training: Training, threads: int) -> None:
        """Takes what all trials need, which came through the object store."""
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = True
        self.training = training
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial on the same actor."""
        self.finalist, self.until, self.epoch = new_config["finalist"], new_config["until"], None
        self.config = new_config
        return True

    def step(self) -> dict[str, Any]:
        """One epoch; first of all what the checkpoint holds is measured, if there is one."""
        start, finalist = time.perf_counter(), self.finalist
        try:
            if self.epoch is None:
                kept = read_checkpoint(checkpoint_of(finalist, self.training), match=self.training.match)
                done = len(kept.curve) if kept else 0
                self.epoch = done - 1 if 0 < done <= self.until else 0
            self.epoch += 1
            trained = train(finalist, self.training, until=self.epoch)
            score, loss = trained.score, trained.curve[-1].loss
            self.finalist = replace(finalist, seconds=score.seconds)
        except Exception as error:
            if not is_candidates(error):
                return {"done": True, "fault": error}
            seconds = finalist.seconds + time.perf_counter() - start
            return {"done": True, "score": failure(error, fidelity="trained", seconds=seconds)}
        told = {name: score.figure(name) for name in (*ACCURACIES, "spikes", "energy_nj")} | {"loss": loss}
        told = {name: value for name, value in told.items() if value is not None}
        return {**told, "timesteps_total": self.epoch, "score": score, "done": self.epoch >= self.until}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """All that counts stands in our own checkpoint already."""
        return {"epoch": self.epoch}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on from our own checkpoint, wherever it is."""
        self.epoch = None


class Desk(Searcher):
    """Tune's searcher: hands out what the driver asks for, in order; the samplers have spoken before."""

    def __init__(self, asked: SimpleQueue, retries: int) -> None:
        super().__init__()
        self.asked, self.retries = asked, retries
        self.given: dict[str, Task] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next training; None while there is none to begin."""
        with suppress(Empty):
            task = self.asked.get_nowait()
            if task is None:
                return Searcher.FINISHED
            self.given[trial_id] = task
            return {"finalist": task.finalist, "until": task.until}
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Gives a training's end to who waits for it; one whose worker was lost is asked for again.

        Tune's own retries are not used: they count the death of one worker several times.
        """
        task, told = self.given.pop(trial_id), result or {}
        task.score, task.fault = told.get("score"), told.get("fault")
        if error:
            task.lost += 1
            if task.lost <= self.retries:
                self.asked.put(task)
                return
            lost = f"its worker was lost {task.lost} times{AGAIN}"
            task.score, task.fault = Score(state="failed", fidelity="trained", error=lost), None
        task.ended.set()

    def __deepcopy__(self, memo: dict) -> "Desk":
        """One desk, whoever copies Tune's configuration."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, see ``save``."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what is asked for is known from the run folder."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``save``."""


@contextmanager
def tuned(training: Training, cluster: Cluster, *, log: str) -> Iterator[Carry]:
    """Within, the function that has finalists trained, several at once: to an epoch, scores in order as they come.

    To be called where Ray is connected.

    Args:
        training: how; all nodes must see where its checkpoints lie.
        cluster: workers; ``retries`` is how often a training goes on elsewhere after its worker was lost.
        log: ``tensorboard`` or ``mlflow`` for Ray's own callbacks, which write to ``tensorboard/`` or ``mlflow.db`` in
            the run folder; or ``none``.

    Raises:
        RunError: not all nodes see the checkpoints, or a logger's package is not installed.
    """
    folder = training.folder.path.absolute()
    training = replace(training, folder=replace(training.folder, path=folder))
    check_shared(training.checkpoints or folder / "checkpoints")
    os.environ |= SETTINGS
    callbacks, asked = _loggers(log, folder), SimpleQueue()
    desk = Desk(asked, cluster.retries)
    died: list[BaseException] = []

    def work(name: str) -> None:
        try:
            _tuner(training, cluster, desk, name=name, home=home, callbacks=callbacks).fit()
        except BaseException as error:
            died.append(error)

    quiet = logging.getLogger("ray.tune")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)  # a worker that is lost is told of by what comes of its trial
    thread = Thread(target=work, args=(f"spikefront-{os.getpid()}-{time.time_ns()}",), daemon=True)

    def ended(task: Task) -> Task:
        while not task.ended.wait(OFTEN):
            if not thread.is_alive():
                reason = " ".join(str(died[0] if died else "no reason given").split())[:300]
                raise ClusterError(f"Ray Tune has ended before its trials ({reason}): mend it, then resume")
        return task

    def alone(finalist: Finalist, until: int) -> Score:
        task = Task(finalist=finalist, until=until)
        asked.put(task)
        if (fault := ended(task).fault) is not None:
            raise fault
        return task.score

    def carry(finalists: Sequence[Finalist], until: int) -> Iterator[Score]:
        tasks = [Task(finalist=finalist, until=until) for finalist in finalists]
        for task in tasks:
            asked.put(task)
        if not thread.is_alive():
            thread.start()
        for task in tasks:
            fault, score = ended(task).fault, task.score
            if fault is not None and is_short(fault):
                others = [one.finalist for one in map(ended, tasks) if one.fault is None and not is_open(one.score)]
                attempt = partial(alone, until=until)
                score, fault = fitting(attempt, task.finalist, others, fidelity="trained"), None
            if fault is not None:
                raise fault
            yield score

    with temporary_folder() as home:  # of what Tune keeps, which nobody reads
        try:
            yield carry
            asked.put(None)
            if thread.is_alive():
                thread.join()
        finally:
            quiet.setLevel(level)


def _tuner(
    training: Training, cluster: Cluster, desk: Desk, *, name: str, home: Path, callbacks: list[tune.Callback]
) -> tune.Tuner:
    demand = {name.lower(): amount for name, amount in cluster.demand.items()}
    trainable = tune.with_parameters(Trial, training=training, threads=cluster.threads)
    return tune.Tuner(
        tune.with_resources(trainable, demand),
        tune_config=tune.TuneConfig(
            search_alg=desk,
            num_samples=-1,
            reuse_actors=True,
            max_concurrent_trials=cluster.workers,
            trial_name_creator=_name,
            trial_dirname_creator=lambda trial: f"{_name(trial)}-to-{trial.config['until']}",
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(home),
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            callbacks=callbacks,
            verbose=0,
        ),
    )


def _loggers(log: str, folder: Path) -> list[tune.Callback]:
    """Ray's callbacks for a kind of log; raises RunError where its package is not there."""
    try:
        if log == "tensorboard":
            return [_boards(folder / "tensorboard")]
        if log == "mlflow":
            import mlflow  # noqa: F401
            from ray.air.integrations.mlflow import MLflowLoggerCallback

            where = sqlite_uri(folder / "mlflow.db")
            return [MLflowLoggerCallback(tracking_uri=where, experiment_name=text_name(folder))]
    except ImportError as error:
        package = "tensorboardX" if log == "tensorboard" else "mlflow"
        raise RunError(f"--log {log}: package {package!r} is not installed: pip install {package}") from error
    return []


def sqlite_uri(path: Path) -> str:
    """The URI of an SQLite file, in which SQLAlchemy reads this very path.

    Raises:
        RunError: the SQLAlchemy that is installed reads another: before 2.1 a ``?`` ended the path.
    """
    import sqlalchemy

    uri = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()
    if (read := sqlalchemy.make_url(uri).database) != str(path):
        raise RunError(
            f"--log mlflow: SQLAlchemy {sqlalchemy.__version__} would write {str(path)!r} into {read!r}: choose an "
            "--out without '?' and '%', or pip install 'sqlalchemy>=2.1'"
        )
    return uri


def _boards(home: Path) -> tune.Callback:
    """Ray's callback for TensorBoard, with one folder below ``home`` for all of a candidate's training."""
    from ray.tune.logger import TBXLoggerCallback

    class Boards(TBXLoggerCallback):
        def log_trial_start(self, trial: Any) -> None:  # noqa: ANN401
            self._trial_writer[trial] = self._summary_writer_cls(str(home / _name(trial)), flush_secs=10)
            self._trial_result[trial] = {}

    return Boards()


def _name(trial: Any) -> str:  # noqa: ANN401
    """Of a trial of Tune: its candidate's number in the ledger."""
    return f"trial-{trial.config['finalist'].outcome.number}"
