#!/usr/bin/env bash
# Once, as a superuser of PostgreSQL: the user `mlflow` and its two databases, for runs and for accounts.
#   MLFLOW_DB_PASSWORD=... sudo --preserve-env=MLFLOW_DB_PASSWORD -u postgres ./database.sh
set -euo pipefail
: "${MLFLOW_DB_PASSWORD:?the password that the user mlflow of the database shall have}"
psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 postgres <<'SQL'
\getenv password MLFLOW_DB_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;
SQL
