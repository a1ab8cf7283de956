#!/bin/sh
# A role and a database of Airflow's own on the server of PGHOST, neither of which opens evalwindow's tables; again is
# harmless, and sets the password anew. Run as a superuser with PGDATABASE=evalwindow.
set -eu
: "${AIRFLOW_POSTGRES_PASSWORD:?set it in .env}"

exec psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<'SQL'
\getenv password AIRFLOW_POSTGRES_PASSWORD
SELECT 'CREATE ROLE airflow LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'airflow') \gexec
ALTER ROLE airflow PASSWORD :'password';
SELECT 'CREATE DATABASE airflow OWNER airflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'airflow') \gexec
REVOKE ALL ON DATABASE airflow, evalwindow FROM PUBLIC;
SQL
