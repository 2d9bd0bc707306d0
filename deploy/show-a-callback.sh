#!/bin/sh
# Makes a caller, submits a job, and shows the callback of it, verified. The receiver goes on then.
#
# Wants DISPATCHER_STORE and DISPATCHER_SECRET_KEY (as the service has them), DISPATCHER_URL, and
# RECEIVER_URL: where the service reaches this, which it must be allowed to call back. It listens on
# RECEIVER_HOST (every address of this machine or container).
set -eu

made=$(dispatcher callers create "show-$(date +%s)" --json)
field() { printf '%s' "$made" | python -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
secret=$(field secret)
DISPATCHER_API_KEY=$(field apiKey)
export DISPATCHER_API_KEY

dispatcher listen --host "${RECEIVER_HOST:-0.0.0.0}" --port "${RECEIVER_URL##*:}" --secret "$secret" &
receiver=$!
trap 'kill "$receiver" 2>/dev/null || :' INT TERM
# The service tries again if the receiver is not up yet, so nothing is waited for here.
dispatcher submit dispatcher.echo '"It works."' --callback "$RECEIVER_URL"
wait "$receiver"
