"""What a checkpoint tells of a run, in the words of a live one."""

from pathlib import Path

from ohmgrid.devices.presets import device_name
from ohmgrid.model.core.core import initial_state
from ohmgrid.tile import TileState
from ohmgrid.training.runs import Checkpoint
from ohmgrid.watch.messages import PROTOCOL, End, Hello, Message, Update, Weights
from ohmgrid.watch.pictures import Painter

__all__ = ["told_by"]


def told_by(checkpoint: Checkpoint, folder: Path) -> list[Message]:
    """Return all messages of a run that is not running.

    Parameters
    ----------
    checkpoint : Checkpoint
    folder : Path
        Where it is from.
    """
    plan, config, progress = checkpoint.plan, checkpoint.config, checkpoint.progress
    painter, net = Painter(config), plan.net()
    # With weights from a file only their hash is known.
    begun: list[TileState] = []
    if checkpoint.start_sha256 is None:
        begun = [initial_state(config, *shape, number) for number, shape in enumerate(net.shapes)]
    done = [row["examples"] for row in checkpoint.history]
    per_epoch = max(done, default=0)
    examples = sum(done) + progress.position
    hello = Hello(
        protocol=PROTOCOL,
        engine="",
        folder=str(folder.resolve()),
        data=plan.data,
        device=device_name(config.device),
        net=plan.layers,
        activation=plan.activation,
        loss=plan.loss,
        shapes=net.shapes,
        lr=plan.lr,
        batch=config.batch,
        seed=config.seed,
        epochs=plan.epochs,
        examples=per_epoch,
        chance=0.0,
        bins=painter.bins,
        full=painter.full,
        start=painter.paint(begun),
    )
    update = Update(
        paused=False,
        epoch=progress.epoch,
        position=progress.position,
        hits=progress.hits,
        loss=progress.loss,
        examples=examples,
        seconds=sum(row["seconds"] for row in checkpoint.history) + progress.seconds,
        counters=checkpoint.counters.as_dict(),
        first=0,
        rows=checkpoint.history,
    )
    weights = Weights(examples, painter.paint(checkpoint.states))
    over = progress.epoch >= plan.epochs and bool(checkpoint.history)
    return [hello, update, weights, End("finished" if over else "stopped")]
