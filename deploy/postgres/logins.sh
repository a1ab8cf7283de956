#!/bin/sh
# A login for each kind of process on the server of PGHOST, member of the role that `evalwindow migrate --roles` made for
# it, and Airflow's own database, which opens nothing of evalwindow's. Again is harmless, and sets the passwords anew.
# Run as a superuser with PGDATABASE=evalwindow.
set -eu
: "${WEB_POSTGRES_PASSWORD:?set it in .env}" "${WORKER_POSTGRES_PASSWORD:?set it in .env}"
: "${AIRFLOW_POSTGRES_PASSWORD:?set it in .env}"

exec psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<'SQL'
\getenv web WEB_POSTGRES_PASSWORD
\getenv worker WORKER_POSTGRES_PASSWORD
\getenv airflow AIRFLOW_POSTGRES_PASSWORD
-- Whatever fails below, the server's log gets no password.
SET log_min_error_statement = panic;
SET log_statement = none;
SET client_min_messages = warning;
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['web', 'worker', 'airflow']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE web LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'web';
ALTER ROLE worker LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'worker';
ALTER ROLE airflow LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'airflow';
GRANT evalwindow_web TO web;
GRANT evalwindow_worker TO worker;
GRANT evalwindow_airflow TO airflow;
SELECT 'CREATE DATABASE airflow OWNER airflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'airflow') \gexec
REVOKE ALL ON DATABASE airflow, evalwindow, postgres, template1 FROM PUBLIC;
SQL
