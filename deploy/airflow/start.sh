#!/bin/sh
# The API server, with the administrator's password of $AIRFLOW_ADMIN_PASSWORD in the file that Airflow reads.
set -eu
: "${AIRFLOW_ADMIN_PASSWORD:?set it in .env}"
umask 077
mkdir -p "$AIRFLOW_HOME"
python - <<'PYTHON'
import json, os, pathlib

path = pathlib.Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
path.write_text(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))
PYTHON
unset AIRFLOW_ADMIN_PASSWORD
exec "$@"
