"""Metrics in the style of mir_eval: conventions, ``validate``, one pure function per metric, ``evaluate`` -> dict."""
