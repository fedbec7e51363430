#!/usr/bin/env bash
# A team's MLflow server: runs and accounts in PostgreSQL, artifacts through the server, a password for everything.
#   pip install 'mlflow[auth]>=3.17,<4' psycopg2-binary uvloop
# Secrets come from the environment: neither the command line nor a file has them.
set -euo pipefail
: "${PGPASSWORD:?the password of the database user}"
: "${MLFLOW_AUTH_ADMIN_PASSWORD:?the password of the first administrator, 12 characters or more}"
: "${MLFLOW_FLASK_SERVER_SECRET_KEY:?a random text, the same at every start: openssl rand -hex 32}"
: "${ARTIFACTS:?a folder, or s3://bucket/folder, that the server alone has access to}"
export PGHOST=${PGHOST:-127.0.0.1} PGUSER=${PGUSER:-mlflow}
export MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2:///mlflow
export MLFLOW_AUTH_CONFIG_PATH=${MLFLOW_AUTH_CONFIG_PATH:-$(cd "$(dirname "$0")" && pwd)/basic_auth.ini}
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true

# NAME is the host's name that clients and browsers use. Behind a reverse proxy on the same machine, HOST stays loopback.
# uvloop: with more than one worker, uvicorn on asyncio leaves Nagle's algorithm on, and each request waits 40 ms.
exec mlflow server --app-name basic-auth \
  --host "${HOST:-127.0.0.1}" --port "${PORT:-5000}" --workers "${WORKERS:-2}" \
  --allowed-hosts "${NAME:-localhost},${NAME:-localhost}:*,127.0.0.1,127.0.0.1:*" --cors-allowed-origins "https://${NAME:-localhost}" \
  --artifacts-destination "$ARTIFACTS" --uvicorn-opts "--loop uvloop"
