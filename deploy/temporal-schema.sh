#!/bin/sh
# Brings Temporal's two databases to the schema of the server's version; run at every start. The connection comes from SQL_HOST, SQL_USER and so on.
set -eu
versions=/etc/temporal/schema/postgresql/v12
for name in temporal temporal_visibility; do
  folder=$versions/${name#temporal_}/versioned
  tool() { temporal-sql-tool --database "$name" "$@"; }
  # One that is up to date says so; one that is not there yet is made first.
  tool update-schema -d "$folder" || {
    tool create-database || echo "$name is there already."
    tool setup-schema -v 0.0
    tool update-schema -d "$folder"
  }
done
