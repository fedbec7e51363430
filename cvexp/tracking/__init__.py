"""The MLflow store: opening it, writing runs to it, finding them again. Nothing else imports mlflow."""
