#!/bin/sh
# Starts the store of the S3 API with one bucket and one key, which the API has as EVIDENCE_S3_ACCESS_KEY_ID and EVIDENCE_S3_SECRET_KEY_FILE.
set -eu
umask 077
cat > /tmp/s3.json <<JSON
{"identities":[{"name":"kefu","credentials":[{"accessKey":"kefu","secretKey":"$(cat /run/secrets/evidence-secret-key)"}],"actions":["Admin"]}]}
JSON
exec weed mini -dir=/data -bucket=evidence -s3.config=/tmp/s3.json -admin.ui=false -webdav=false -master.telemetry=false
