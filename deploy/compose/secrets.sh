#!/bin/sh
# Makes the secrets of docker-compose.yml that are not there yet, in the folder `secrets` beside it. Keep a copy of them with the back-ups.
set -eu
cd "$(dirname "$0")/../.."
# The folder keeps other users of this machine out; in the containers each file is seen by itself, by users other than its owner.
mkdir -p secrets && chmod 700 secrets
for name in postgres-password systems-password evidence-secret-key grafana-password; do
  [ -s "secrets/$name" ] && continue
  # Hexadecimal: it stands in JSON and in a shell as it is.
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "secrets/$name"
  chmod 444 "secrets/$name"
  echo "secrets/$name was made."
done
