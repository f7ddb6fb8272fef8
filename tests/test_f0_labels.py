"""F0 labels: files round-trip to the last decimal of their format, and units are not confused."""

from __future__ import annotations

import json
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemclean.audio.f0 import F0Track
from stemclean.errors import ConfigError, LabelError
from stemclean.layouts import f0_labels
from stemclean.layouts.f0_labels import Beside
from stemclean.units import midi_to_hz

IN_TMP = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sung(num_frames: int, *, hop: float = 0.01, start: float = 0.0, seed: int = 0) -> F0Track:
    """Phrases with glides and vibrato between 160 and 600 Hz, pauses between."""
    rng = np.random.default_rng(seed)
    time = hop * np.arange(num_frames)
    midi = 58 + np.cumsum(rng.normal(0, 0.2, num_frames)).clip(-3, 12) + 0.4 * np.sin(2 * np.pi * 5.5 * time)
    return F0Track.of(midi_to_hz(midi) * (time % 1.3 < 1.0), hop, start)


@st.composite
def tracks(draw: st.DrawFn) -> F0Track:
    num_frames = draw(st.integers(2, 60))
    grid = draw(st.sampled_from([(0.01, 0.0), (0.02, 0.02), (256 / 44100, 0.0), (0.032, 0.016), (0.0029, 1.5)]))
    track = sung(num_frames, hop=grid[0], start=grid[1], seed=draw(st.integers(0, 99)))
    return F0Track(np.append(track.f0_hz[1:], 233.1), np.append(track.voicing[1:], 1.0), track.hop, track.start)


def test_an_uncertain_voiced_frame_stays_voiced(tmp_path: Path) -> None:
    """A threshold of 0 holds posteriors below what four decimals say for voiced."""
    track = F0Track(np.array([220.0, 220.0, 220.0]), np.array([1e-6, 0.0, 0.7]), 0.01)
    read = f0_labels.read(f0_labels.write(track, tmp_path / "f0.csv"))
    assert read.voiced.tolist() == track.voiced.tolist() == [True, False, True]
    assert read.voicing.tolist() == [0.0001, 0.0, 0.7]


def written(tmp_path: Path, text: str, name: str = "f0.txt") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


class TestBothWays:
    @pytest.mark.parametrize("name", ["stemclean", "medleydb", "mir_eval"])
    @IN_TMP
    @given(track=tracks())
    def test_formats_with_times_keep_any_grid(self, tmp_path: Path, name: str, track: F0Track) -> None:
        """Times have nine decimals: 1e-9 s over the track's length. Frequencies have four."""
        path = f0_labels.write(track, tmp_path / "a.f0", name)
        again = f0_labels.read(path)
        assert f0_labels.sniff(path) == name
        assert again.times == pytest.approx(track.times, abs=3e-9)
        assert again.f0_hz == pytest.approx(track.f0_hz, abs=5.1e-5)
        assert again.voiced.tolist() == track.voiced.tolist()
        assert f0_labels.read(f0_labels.write(again, path, name)).f0_hz.tolist() == again.f0_hz.tolist()

    @IN_TMP
    @given(track=tracks(), seed=st.integers(0, 9))
    def test_our_own_format_keeps_confidences(self, tmp_path: Path, track: F0Track, seed: int) -> None:
        rng = np.random.default_rng(seed)
        sure = np.round(rng.random((2, track.num_frames)), 4)
        before = F0Track(track.f0_hz, sure[0], track.hop, track.start, sure[1])
        after = f0_labels.read(f0_labels.write(before, tmp_path / "a.csv"))
        assert after.voicing.tolist() == before.voicing.tolist()
        assert after.confidence is not None
        assert after.confidence.tolist() == sure[1].tolist()

    @pytest.mark.parametrize(("name", "hop", "start"), [("mir1k", 0.02, 0.02), ("ikala", 0.032, 0.016)])
    def test_formats_of_semitones_have_their_own_grid(
        self, tmp_path: Path, name: str, hop: float, start: float
    ) -> None:
        """Four decimals of a semitone are 0.005 cent at most."""
        track = sung(900, hop=hop, start=start)
        again = f0_labels.read(f0_labels.write(track, tmp_path / "a.pv", name), name)
        assert (again.hop, again.start, again.num_frames) == (hop, start, 900)
        assert again.cents() == pytest.approx(track.cents(), abs=0.0051)
        finer = f0_labels.read(f0_labels.write(sung(2000, hop=0.005), tmp_path / "b.pv", name), name)
        assert (finer.hop, finer.start) == (hop, start)

    @IN_TMP
    @given(
        pauses=st.lists(st.integers(1, 50), min_size=1, max_size=8),
        lengths=st.lists(st.integers(1, 200), min_size=8, max_size=8),
        notes=st.lists(st.integers(45, 80), min_size=8, max_size=8),
    )
    def test_notes_round_trip(self, tmp_path: Path, pauses: list[int], lengths: list[int], notes: list[int]) -> None:
        """Frames of 10 ms: notes that begin and end on them, with pauses between, are what they were."""
        at, song = 0, []
        for pause, length, note in zip(pauses, lengths, notes, strict=False):
            song.append([(at + pause) / 100, (at + pause + length) / 100, float(note)])
            at += pause + length
        path = written(tmp_path, json.dumps({"17": song}), "17.json")
        track = f0_labels.read(path)
        assert track.num_frames == at
        assert track.voiced.sum() == sum(lengths[: len(song)])
        again = json.loads(f0_labels.write(track, tmp_path / "17.json", "mir_st500").read_text())["17"]
        assert np.array(again) == pytest.approx(np.array(song), abs=1e-6)

    def test_vibrato_is_one_note_and_the_next_semitone_another(self, tmp_path: Path) -> None:
        time = np.arange(200) / 100
        midi = np.where(time < 1, 60 + 0.5 * np.sin(2 * np.pi * 6 * time), 61)
        path = f0_labels.write(F0Track.of(midi_to_hz(midi), 0.01), tmp_path / "a.json", "mir_st500")
        assert json.loads(path.read_text()) == {"a": [[0.0, 1.0, 60.0], [1.0, 2.0, 61.0]]}

    def test_mir_eval_reads_our_files(self, tmp_path: Path) -> None:
        guess = F0Track(np.array([0.0, 220.0, 221.5, 0.0]), np.array([0.0, 1.0, 0.0, 0.0]), 0.01, 0.02)
        path = f0_labels.write(guess, tmp_path / "a.txt", "mir_eval")
        times, values = mir_eval.io.load_time_series(str(path))
        assert times.tolist() == [0.02, 0.03, 0.04, 0.05]
        assert values.tolist() == [0.0, 220.0, -221.5, 0.0]
        again = f0_labels.read(path)
        assert again.f0_hz.tolist() == guess.f0_hz.tolist()
        assert again.voiced.tolist() == [False, True, False, False]


class TestTimes:
    def test_missing_frames_are_unvoiced(self, tmp_path: Path) -> None:
        """Tony's files name the voiced frames only; hop 256 samples at 44.1 kHz, times with nine decimals."""
        frames = np.array([4, 5, 6, 30_000, 30_001])
        lines = "".join(f"{frame * 256 / 44100:.9f},{200 + frame % 7}\n" for frame in frames)
        track = f0_labels.read(written(tmp_path, lines))
        assert track.hop == pytest.approx(256 / 44100, abs=1e-12)
        assert np.flatnonzero(track.voiced).tolist() == (frames - 4).tolist()
        assert track.times[frames - 4] == pytest.approx(frames * 256 / 44100, abs=2e-9)

    def test_times_rounded_to_milliseconds_keep_a_finer_grid(self, tmp_path: Path) -> None:
        lines = "".join(f"{frame * 128 / 44100:.3f} 220\n" for frame in range(5000))
        track = f0_labels.read(written(tmp_path, lines))
        assert track.hop == pytest.approx(128 / 44100, abs=1e-6)  # a millisecond over 14.5 s, spread over 5000 frames

    @pytest.mark.parametrize(
        ("lines", "says"),
        [
            ("0.00 220\n0.01 220\n0.016 220\n0.03 220\n", "0.016 s does not fit a hop of"),
            ("0.00 220\n0.01 220\n0.01 220\n", "times must rise: 0.01 s comes after 0.01 s"),
            ("0.00 220\n0.01 220\n1e12 220\n", "too many frames"),
        ],
    )
    def test_irregular_times_are_refused(self, tmp_path: Path, lines: str, says: str) -> None:
        with pytest.raises(LabelError, match=says) as caught:
            f0_labels.read(written(tmp_path, lines))
        assert caught.value.reason == "f0_unreadable"


class TestUnits:
    HZ = sung(900, hop=0.02, start=0.02).f0_hz

    def refusal(self, path: Path, name: str | None = None) -> LabelError:
        with pytest.raises(LabelError) as caught:
            f0_labels.read(path, name)
        assert caught.value.reason == "f0_wrong_unit"
        assert caught.value.hint
        return caught.value

    @pytest.mark.parametrize("name", ["mir1k", "ikala", None])
    def test_hz_are_not_accepted_as_midi_notes(self, tmp_path: Path, name: str | None) -> None:
        path = written(tmp_path, "".join(f"{value:.3f}\n" for value in self.HZ), "a.pv")
        assert "these look like frequencies in Hz" in self.refusal(path, name).detail

    def test_hz_are_not_accepted_as_song_notes(self, tmp_path: Path) -> None:
        path = written(tmp_path, json.dumps({"1": [[0.1, 0.5, 261.6], [0.5, 1.0, 293.7]]}))
        assert "these look like frequencies in Hz" in self.refusal(path).detail

    @pytest.mark.parametrize("separator", [",", " ", "\t"])
    def test_midi_notes_are_not_accepted_as_hz(self, tmp_path: Path, separator: str) -> None:
        midi = np.where(self.HZ > 0, 69 + 12 * np.log2(np.maximum(self.HZ, 1) / 440), 0)
        lines = "".join(f"{frame / 50:.2f}{separator}{note:.3f}\n" for frame, note in enumerate(midi))
        assert "these look like MIDI notes" in self.refusal(written(tmp_path, lines)).detail

    def test_midi_notes_are_not_accepted_as_hz_in_our_format(self, tmp_path: Path) -> None:
        path = written(tmp_path, "time,f0_hz,voicing,confidence\n0,60,1,\n0.01,61,1,\n")
        assert "these look like MIDI notes" in self.refusal(path).detail

    def test_extreme_voices_are_accepted(self, tmp_path: Path) -> None:
        """C2 to E2 now and then, mostly above; and MIDI notes up to C6, mostly below."""
        bass = "".join(f"{frame / 100},{hz}\n" for frame, hz in enumerate([66, 70, 82, 88, 90, 91] * 20))
        assert f0_labels.read(written(tmp_path, bass)).f0_hz.max() == 91
        soprano = "".join(f"{frame / 100},{note}\n" for frame, note in enumerate([70, 72, 75, 77, 84] * 20))
        assert "these look like MIDI notes" in self.refusal(written(tmp_path, soprano)).detail

    @pytest.mark.parametrize(("lines", "says"), [("-5\n60\n", "-5 is none"), ("5.1\n5.2\n0\n", "5.2 is none")])
    def test_values_outside_the_vocal_range_are_not_midi_notes(self, tmp_path: Path, lines: str, says: str) -> None:
        """Natural logarithms of Hz, for example, lie about 5."""
        assert says in self.refusal(written(tmp_path, lines)).detail

    def test_silence_is_accepted_in_any_unit(self, tmp_path: Path) -> None:
        assert not f0_labels.read(written(tmp_path, "0\n0\n0\n")).voiced.any()
        assert not f0_labels.read(written(tmp_path, "0,0\n0.01,0\n")).voiced.any()


class TestOtherWaysToWrite:
    """What CREPE, librosa, pandas and spreadsheets write."""

    HZ = (0.0, 220.0, 220.5, 221.0)

    @pytest.mark.parametrize(
        "text",
        [
            "0.00,nan\n0.01,220\n0.02,220.5\n0.03,221\n",
            "0.00,\n0.01,220\n0.02,220.5\n0.03,221\n",
            "0.00 NaN\n0.01 220\n0.02 220.5\n0.03 221\n",
            "time,f0\n0.00,0\n0.01,220\n0.02,220.5\n0.03,221\n",
            "Time [s],F0 [Hz]\r\n0.00,0\r\n0.01,220\r\n0.02,220.5\r\n0.03,221\r\n",
            "# by hand\ntime\tfrequency\n0.00\t0\n0.01\t220\n0.02\t220.5\n0.03\t221\n",
            "time;f0_hz\n0,00;0\n0,01;220\n0,02;220,5\n0,03;221\n",
            "Zeit;Frequenz\n0,00;0,0\n0,01;220,0\n0,02;220,5\n0,03;221,0\n",
            "Zeit (s)\tFrequenz (Hz)\n0,00\t0,0\n0,01\t220,0\n0,02\t220,5\n0,03\t221,0\n",
            "0,00\t0,0\n0,01\t220,0\n0,02\t220,5\n0,03\t221,0\n",
        ],
    )
    def test_equivalent_spellings_are_equal(self, tmp_path: Path, text: str) -> None:
        track = f0_labels.read(written(tmp_path, text))
        assert track.f0_hz.tolist() == list(self.HZ)
        assert (track.hop, track.start, track.confidence) == (0.01, 0.0, None)

    @pytest.mark.parametrize(
        "text",
        [
            "time,frequency,confidence\n0.00,100.0,0.125\n0.01,220.0,0.5\n0.02,220.5,0.9\n",
            "0.00,100.0,0.125\n0.01,220.0,0.5\n0.02,220.5,0.9\n",
            "Zeit;Frequenz;Konfidenz\n0,00;100,0;0,125\n0,01;220,0;0,5\n0,02;220,5;0,9\n",
            "time\tfrequency\tconfidence\n0.00\t100.0\t0.125\n0.01\t220.0\t0.5\n0.02\t220.5\t0.9\n",
        ],
    )
    def test_crepe_output_is_read(self, tmp_path: Path, text: str) -> None:
        path = written(tmp_path, text)
        assert f0_labels.sniff(path) == "crepe"
        track = f0_labels.read(path)
        assert track.f0_hz.tolist() == [100.0, 220.0, 220.5]
        assert track.voiced.tolist() == [False, True, True]
        assert track.confidence is not None and track.confidence.tolist() == [0.875, 0.5, 0.9]

    def test_unvoiced_notes_are_read(self, tmp_path: Path) -> None:
        assert f0_labels.read(written(tmp_path, "nan\n69\n", "a.pv"), "mir1k").f0_hz.tolist() == [0.0, 440.0]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("0,220\n10,220\n20,220\n", "the frames lie 10 s apart and end at 20 s: these look like milliseconds"),
            ("time_ms,f0\n0,220\n10,220\n", 'the column "time_ms" is in milliseconds'),
            (
                "0,5351\n0.01,5360\n0.02,5400\n",
                "half of it lies above 5360, and no voice is as high: these look like cents",
            ),
            ("time;midi\n0,01;60\n", 'the column "midi" is in MIDI notes'),
        ],
    )
    def test_unknown_units_are_refused_by_name(self, tmp_path: Path, text: str, says: str) -> None:
        with pytest.raises(LabelError, match=says) as caught:
            f0_labels.read(written(tmp_path, text))
        assert caught.value.reason == "f0_wrong_unit"

    def test_the_sound_length_reveals_milliseconds(self, tmp_path: Path) -> None:
        path = written(tmp_path, "".join(f"{0.9 * frame:.1f},220\n" for frame in range(100)))
        with pytest.raises(LabelError, match="look like milliseconds"):
            f0_labels.read(path, beside=Beside(0.1))


class TestSniffing:
    @pytest.mark.parametrize(("num_frames", "duration", "name"), [(500, 10.0, "mir1k"), (500, 16.0, "ikala")])
    def test_the_sound_length_separates_20_ms_from_32_ms(
        self, tmp_path: Path, num_frames: int, duration: float, name: str
    ) -> None:
        path = written(tmp_path, "60.5\n" * num_frames, "a.pv")
        assert f0_labels.sniff(path, beside=Beside(duration)) == name

    @pytest.mark.parametrize(("num_frames", "name"), [(937, "ikala"), (438, "mir1k"), (5, "mir1k")])
    def test_without_sound_the_ikala_clip_length_decides(self, tmp_path: Path, num_frames: int, name: str) -> None:
        assert f0_labels.sniff(written(tmp_path, "60.5\n" * num_frames, "a.pv")) == name

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "the file is empty"),
            ("instrum,path\nvocals,a.wav\n", 'no known format of f0 begins with "instrum,path"'),
            ("60\n61\nsixty\n", 'line 3: "sixty" is not a number'),
            ("0.0,220\n0.01\n", 'line 2: "0.01" is not 2 numbers'),
            ("0.0,220\nnan,220\n", 'line 2: "nan,220" is not 2 numbers'),
            ("0.0,220\n0.01,inf\n", 'line 2: "0.01,inf" is not 2 numbers'),
            ("0.0,220\n0.01,loud\n", 'line 2: "0.01,loud" is not 2 numbers'),
            ("time,f0\n0.0,220\n0.01,loud\n", 'line 3: "0.01,loud" is not 2 numbers'),
            ("time,frequency,confidence\n0,220,2\n", r"outside of \[0, 1\]"),
            ("0.0,220\n0.01,-1\n", "a frequency of -1 Hz"),
            ("{broken", "not JSON"),
            ('{"1": [[0, 1, 60]], "2": []}', "notes of 2 songs, and none is called"),
            ('{"1": [[1, 0.5, 60]]}', "note 0: "),
            ('{"1": [[0, 1, true]]}', "note 0: "),
            ('{"1": 5}', "no list"),
            ("time,f0_hz,voicing,confidence\n", "holds no frame"),
            ("time,f0_hz,voicing,confidence\n0,220,2,\n", r"outside of \[0, 1\]"),
            ("# only a remark\n", "no known format"),
        ],
    )
    def test_unreadable_labels_are_refused(self, tmp_path: Path, text: str, says: str) -> None:
        with pytest.raises(LabelError, match=says) as caught:
            f0_labels.read(written(tmp_path, text))
        assert caught.value.reason == "f0_unreadable"
        assert "f0.txt: " in caught.value.message

    def test_a_song_among_many_is_found_by_its_name(self, tmp_path: Path) -> None:
        path = written(tmp_path, '{"a": [[0, 0.5, 60]], "b": [[0, 1, 64]]}')
        assert f0_labels.read(path, beside=Beside(song="b")).num_frames == 100

    def test_binary_and_missing_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.pv").write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(LabelError, match="no UTF-8 text"):
            f0_labels.read(tmp_path / "a.pv")
        with pytest.raises(LabelError, match="No such file"):
            f0_labels.read(tmp_path / "b.pv")
        with pytest.raises(ConfigError, match='no format of f0 is called "mp3"'):
            f0_labels.read(written(tmp_path, "60\n"), "mp3")


def test_real_clips_round_trip(tmp_path: Path, mir1k: Path) -> None:
    clips = sorted(mir1k.glob("*/f0.pv"))[::25]
    assert clips
    for clip in clips:
        track = f0_labels.read(clip)
        assert f0_labels.sniff(clip) == "mir1k"
        assert 75 < track.f0_hz[track.voiced].min() < track.f0_hz.max() < 700
        again = f0_labels.write(track, tmp_path / "a.pv", "mir1k").read_text().split()
        assert np.array(again, float) == pytest.approx(np.array(clip.read_text().split(), float), abs=5.1e-5)
