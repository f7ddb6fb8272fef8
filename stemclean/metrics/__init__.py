"""Metrics as mir_eval writes them: conventions, validate, one pure function a metric, evaluate() -> dict."""
