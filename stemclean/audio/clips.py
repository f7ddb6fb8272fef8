"""Short excerpts of audio as small files in memory, for pages that play them."""

from __future__ import annotations

import io

import av
import numpy as np

from stemclean.audio.waveform import Waveform

__all__ = ["MIME", "RATE", "encoded"]

RATE = 24_000
"""Sample rate of a clip in Hz: up to 12 kHz is enough to tell what plays."""
BITS_PER_SECOND = 24_000
MIME = "audio/ogg"
PEAK = 0.7
"""Peak of a clip, -3 dBFS; lossy coding may exceed it slightly."""
MOST_GAIN = 10 ** (40 / 20)
"""Maximum gain, 40 dB, so that noise stays soft."""
FADE = RATE // 100
"""Length of the fades, 10 ms."""


def encoded(waveform: Waveform) -> bytes:
    """Return a sound as an Ogg Opus file, brought to a common peak.

    Args:
        waveform: one channel at :data:`RATE`. Shape: (1, time)
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    sound = waveform * min(PEAK / max(peak, 1e-9), MOST_GAIN)
    fade = min(FADE, sound.shape[1] // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    sound[:, :fade] *= ramp
    sound[:, sound.shape[1] - fade :] *= ramp[::-1]
    samples = np.ascontiguousarray((sound * 32767).clip(-32768, 32767).astype(np.int16))
    written = io.BytesIO()
    with av.open(written, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = BITS_PER_SECOND
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        pieces = av.AudioFifo()
        pieces.write(frame)
        size = stream.codec_context.frame_size
        while piece := pieces.read(size, partial=False):
            container.mux(stream.encode(piece))
        if rest := pieces.read():
            container.mux(stream.encode(rest))
        container.mux(stream.encode(None))
    return written.getvalue()
