#!/bin/sh
# Brings Temporal's two databases to the schema of the server's version; run at every start. The connection comes from SQL_HOST, SQL_USER and so on.
set -eu
for name in temporal temporal_visibility; do
  # The tool brings the schema with it, so the two cannot differ.
  schema=postgresql/v12/${name#temporal_}
  tool() { temporal-sql-tool --database "$name" "$@"; }
  # One that is up to date says so; one that is not there yet is made first.
  tool update-schema --schema-name "$schema" || {
    tool create-database || echo "$name is there already."
    tool setup-schema -v 0.0
    tool update-schema --schema-name "$schema"
  }
done
