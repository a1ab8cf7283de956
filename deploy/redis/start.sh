#!/bin/sh
# Redis as a broker: every write kept, nothing evicted, one user with the password of $REDIS_PASSWORD.
set -eu
: "${REDIS_PASSWORD:?set it in .env}"
here=$(dirname "$0")
acl=${TMPDIR:-/tmp}/users.acl

umask 077
hash=$(printf %s "$REDIS_PASSWORD" | sha256sum | cut -d ' ' -f 1)
grep -v '^#' "$here/users.acl" | sed "s/PASSWORD_SHA256/$hash/" >"$acl"
unset REDIS_PASSWORD

exec redis-server --appendonly yes --appendfsync everysec --maxmemory-policy noeviction --save '' --aclfile "$acl" "$@"
