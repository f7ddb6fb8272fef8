"""Find names of separation models and programs in file names, because the words in them are not classes.

``Song_(Instrumental)_UVR-MDX-NET-Voc_FT`` contains no vocals, and ``mel_band_roformer`` no band.
"""

from __future__ import annotations

import re

__all__ = ["spans"]

_FAMILIES: tuple[tuple[str, str], ...] = (
    # Ultimate Vocal Remover: UVR-MDX-NET-Voc_FT, UVR-De-Echo-Normal, UVR-BVE-4B_SN-44100-1
    (
        r"uvr",
        (
            r"mdx|net|mdxnet|inst|voc|ft|hq|kara|karaoke|main|crowd|de|echo|deecho|reverb|dereverb|noise|denoise|lite|normal"
            r"|aggressive|bve|4b|sn|model|full|fullband|v?\d+[a-z]?"
        ),
    ),
    # MDX23C-8KFFT-InstVoc_HQ, mdx_extra_q, MDXNET
    (
        r"mdx(?:[\s_-]*net|23c?|[\s_-]*extra)",
        r"q|8kfft|instvoc|inst|voc|ft|hq|kara|main|sdx23|drumsep|full|d?\d+",
    ),
    # model_bs_roformer_ep_317_sdr_12.9755, mel_band_roformer_karaoke_aufr33_viperx
    (
        r"(?:model[\s_-]*)?(?:mel[\s_-]*band|melband|mel|bs|band[\s_-]*split)?[\s_-]*ro[\s_-]?former",
        (
            r"karaoke|kara|vocals?(?=[\s_-]*(?:fv|v\d|revive|by))|instvoc|inst|voc|ep|sdr|big|beta|small|large|base|ft|fv|sw"
            r"|hyperace|deux|revive|resurrection|aufr33|viperx|gabox|unwa|becruily|anvuew|kim|kimberley|jensen|syh99999|pcunwa"
            r"|crowd|de[\s_-]?reverb|de[\s_-]?noise|mono|stereo|bleed[\s_-]?suppressor|male|female|chorus|by|v?\d+[a-z]?"
        ),
    ),
    # htdemucs_ft, htdemucs_6s, hdemucs_mmi
    (r"(?:hybrid|h|ht)?demucs", r"ft|6s|mmi|v\d|extra|q|light|unittest|\d+[a-z]*"),
    (r"scnet", r"xl|large|ihf|masked|choirsep"),
    (r"spleeter", r"\d\s?stems|model"),
    (r"bandit", r"plus|v\d"),
)
"""Start of the name of a family, and the words that may follow it."""

_SINGLE = (
    # 6_HP-Karaoke-UVR, HP5_only_main_vocal
    r"\d*[\s_-]*hp\d?(?:[\s_-]+(?:only|main|all|vocals?|inst|karaoke|uvr))+",
    # kuielab_a_vocals, MGM_MAIN_v4, VIP-Vocals
    (
        r"(?:mgm|kuielab|vip|cascadednet)[\s_-]+(?:[abv]?\d*[\s_-]*)?(?:main|highend|lowend|vocals?|bass|drums|other|inst)"
        r"(?:[\s_-]*v?\d+)?"
    ),
    # Kim_Vocal_2, Kim_Inst; but not the vocals of Kim
    r"kim[\s_-]+(?:(?:vocal|inst)(?:[\s_-]+(?:ft|v?\d+))+|inst|ft|v\d+)",
    r"reverb[\s_-]*hq(?:[\s_-]*by[\s_-]*foxjoy)?",
    r"(?:de|no)[\s_-]*(?:echo|reverb|verb|noise)",
    r"(?:split[\s_.-]*by[\s_.-]*)?lalal(?:[\s_.-]*ai)?",
    r"(?:vocal|voice|drum|stem)[\s_-]*(?:remover|isolator|splitter|separator|extractor)(?:[\s_.-]*org)?",
    (
        r"\d\s?stems[\s_-]*model|open[\s_-]*unmix|umx(?:hq|l|se)?|x-?umx|(?:conv[\s_-]?)?tasnet|mvsep|ripx|moises(?:[\s_.-]*ai)?"
        r"|phonicmind|gaudio(?:lab)?|audioshake|mmdensenet|d3net|bsrnn|resunet|dttnet|vitlarge23?|zfturbo|wave[\s_-]?u[\s_-]?net"
        r"|larsnet|drumsep|banquet"
    ),
)

_HINT = re.compile(
    r"uvr|mdx|former|demucs|scnet|spleet|bandit|hp|mgm|kuielab|vip|cascaded|kim|reverb|(?:de|no)[\s_-]*(?:echo|verb|noise)"
    r"|lalal|remover|isolator|splitter|separator|extractor|model|unmix|umx|tasnet|mvsep|ripx|moises|phonicm|gaudio|shake|dense"
    r"|d3net|bsrnn|resunet|dttnet|vitlarge|zfturbo|wave|larsnet|drumsep|banquet",
    re.IGNORECASE,
)
"""Fragments of which every such name contains one: a quick test that most names fail."""

_ALL = re.compile(
    r"(?<![^\W_])(?:"
    + "|".join(
        [
            *(rf"{head}(?:[\s_.:-]*(?:{tail})(?![^\W\d_]))*" for head, tail in _FAMILIES),
            *(f"(?:{pattern})" for pattern in _SINGLE),
        ]
    )
    + r")(?![^\W\d_])",
    re.IGNORECASE,
)


def spans(name: str) -> list[tuple[int, int]]:
    """Return start and end of each model name in a name.

    >>> [("Song_bs_roformer_ep_317"[a:b]) for a, b in spans("Song_bs_roformer_ep_317")]
    ['bs_roformer_ep_317']
    """
    return [match.span() for match in _ALL.finditer(name)] if _HINT.search(name) else []
