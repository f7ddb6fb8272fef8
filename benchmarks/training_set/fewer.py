"""A part of the set that takes minutes to make: enough to train small separators, and the held-out songs."""

from collections.abc import Sequence
from dataclasses import replace

from .track import Job, share

AS_WRITTEN = "written"
SPEECH = "speech"


def fewer(jobs: Sequence[Job], number: int) -> list[Job]:
    """Return `number` training tracks of a kind and all of its test tracks; no validation tracks.

    Which ones is said by a hash of their names, so that it is the same on every machine. MIDI songs come as they are
    written, singers as they were recorded, and speakers stay away: other versions cost the most time.
    """
    plain = [job for job in jobs if _is_plain(job)]
    trained = sorted((job for job in plain if job.split == "train"), key=lambda job: (share(job.track), job.track))
    held_out = [job for job in plain if job.split == "test"]
    kept = {job.track for job in [*trained[:number], *held_out]}
    return [replace(job, params=job.params | {"as_recorded": True}) for job in plain if job.track in kept]


def _is_plain(job: Job) -> bool:
    return job.params.get("version", AS_WRITTEN) == AS_WRITTEN and job.params.get("kind") != SPEECH
