"""The store and experiment that the caller of the Python API made MLflow's active ones."""

from __future__ import annotations

import sys

from cvexp.settings import StoreSettings, store_settings
from cvexp.tracking.store import knock, translated


def active_settings(tracking_uri: str | None = None, experiment: str | None = None) -> StoreSettings:
    """Resolve the store: arguments, then MLflow's active store and experiment, then as `settings.store_settings` does.

    MLflow is not imported for it: what was never imported was told nothing. The experiment it was told counts in the
    store that it was told of.

    Raises:
        StoreError: The name of the experiment cannot be asked for.
    """
    if "mlflow" not in sys.modules:
        return store_settings(tracking_uri, experiment)
    import mlflow

    told_uri = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    settings = store_settings(tracking_uri or told_uri, experiment)
    # MLflow has no public way to ask for it that does not make an experiment.
    told_id = getattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    if experiment or not told_id or settings.tracking_uri != store_settings(told_uri).tracking_uri:
        return settings
    knock(settings)
    with translated(settings):
        name = mlflow.MlflowClient(tracking_uri=settings.tracking_uri).get_experiment(told_id).name
    return store_settings(settings.tracking_uri, name)
