"""Copies of the public files in the places of `[[publish]]`, kept by the beat."""

from pathlib import Path

from fairwitness.hub.config import Config, PublishConfig
from fairwitness.hub.services import feed, health, identity, public
from fairwitness.kit import clock, config
from fairwitness.kit.operate import publish
from fairwitness.kit.operate.publish import Progress, Publisher, PublishError, Source


def source() -> Source:
    """Return where the public files of this hub lie."""
    me = identity.load()
    logs = {name: identity.log_folder(name) / "public" for name in identity.LOGS}
    return Source(feed.root(), logs, me.tick_seconds, me.genesis_sha256, public.folder())


def publishers() -> list[Publisher]:
    """Return one for each place. Raises ConfigError, UnsafeMode, PublishError for what cannot be one."""
    cfg = config.current(Config)
    return [Publisher(cfg.folder(), place.to, _target(cfg, place)) for place in cfg.publish]


def run() -> list[Progress | PublishError]:
    """Make a round for every place; an error is one place's."""
    return list(publish.run_all(publishers(), source()))


def beat(_now: int) -> None:
    """Make a round for every place; raises the first PublishError once all had their turn."""
    for outcome in run():
        if isinstance(outcome, PublishError):
            raise outcome


def look() -> list[tuple[Progress, int]]:
    """Return how far each place is, and how many seconds it is behind what this hub serves."""
    cfg = config.current(Config)
    if not cfg.publish:
        return []
    latest, seconds = health.look().tick, identity.load().tick_seconds
    first = identity.load().first_tick
    found = []
    for place in cfg.publish:
        progress = publish.noted(cfg.folder(), place.to)
        found.append((progress, publish.lag(progress, latest, first, seconds)))
    return found


def stale(progress: Progress) -> int:
    """Return for how many seconds no whole round was made for a place; -1 where none ever was."""
    return clock.now() - progress.at if progress.at else -1


def _target(cfg: Config, place: PublishConfig) -> publish.Target:
    if not place.to.startswith("s3://"):
        return publish.FolderTarget(publish.folder_of(place.to))
    from fairwitness.kit import blobs_s3, objects  # noqa: PLC0415 - only hubs that use a bucket load its client

    try:
        client = blobs_s3.client_of(place.bucket, cfg.file(*Path(place.credentials).parts))
    except config.ConfigError as error:
        raise config.ConfigError(str(error).replace("blobs.url", "publish.to").replace("blobs.", "publish.")) from None
    return publish.BucketTarget(objects.Bucket(client, conditional=place.write_once == "server"))
