"""The store and experiment that the caller of the Python API made MLflow's active ones."""

from __future__ import annotations

import sys

from cvexp.settings import StoreSettings, store_settings
from cvexp.tracking.checks import check_reachable
from cvexp.tracking.mlflow_errors import translated


def active_settings(tracking_uri: str | None = None, experiment: str | None = None) -> StoreSettings:
    """Resolve the store: arguments, then MLflow's active store and experiment, then as `settings.store_settings` does.

    MLflow is not imported for it: where nobody imported it, nobody set anything. MLflow's active experiment counts in
    MLflow's active store only.

    Raises:
        StoreError: The experiment's name cannot be read.
    """
    if "mlflow" not in sys.modules:
        return store_settings(tracking_uri, experiment)
    import mlflow

    active_uri = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    settings = store_settings(tracking_uri or active_uri, experiment)
    # MLflow has no public way to read it that does not create an experiment.
    active_id = getattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    if experiment or not active_id or settings.tracking_uri != store_settings(active_uri).tracking_uri:
        return settings
    check_reachable(settings)
    with translated(settings):
        name = mlflow.MlflowClient(tracking_uri=settings.tracking_uri).get_experiment(active_id).name
    return store_settings(settings.tracking_uri, name)
