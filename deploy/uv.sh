#!/usr/bin/env bash
# Runs uv against the package indexes that pip of $PYTHON is configured for, with pip's rule that all of them are equal.
set -euo pipefail

pip_config() { "$PYTHON" -m pip config get "global.$1" 2>/dev/null || true; }

export UV_INDEX_STRATEGY=unsafe-best-match
export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX-${PIP_INDEX_URL:-$(pip_config index-url)}}
export UV_INDEX=${UV_INDEX-${PIP_EXTRA_INDEX_URL:-$(pip_config extra-index-url)}}
export UV_FIND_LINKS=${UV_FIND_LINKS-${PIP_FIND_LINKS:-$(pip_config find-links)}}
export SSL_CERT_FILE=${SSL_CERT_FILE-${PIP_CERT:-$(pip_config cert)}}
for name in UV_DEFAULT_INDEX UV_INDEX UV_FIND_LINKS SSL_CERT_FILE; do
  [ -n "${!name}" ] || unset "$name"
done
exec "$PYTHON" -m uv "$@"
