#!/usr/bin/env bash
# A remote worker in plain bash with curl: it leases jobs of one type, does them, and says what came
# of them. It goes on until it is stopped; with --once it ends after one job.
#
#   DISPATCHER_URL      the service (http://127.0.0.1:8080 without it)
#   DISPATCHER_API_KEY  a key with the role worker: dispatcher callers create NAME --role worker
#                       (`serve --dev` needs none)
set -euo pipefail

readonly url=${DISPATCHER_URL:-http://127.0.0.1:8080}
readonly type=text.count
readonly lease_seconds=30

headers=(-H 'Content-Type: application/json')
if [[ -n ${DISPATCHER_API_KEY:-} ]]; then
  headers+=(-H "Authorization: Bearer $DISPATCHER_API_KEY")
fi

say() { printf '%s\n' "$*" >&2; }

# post PATH BODY [CURL OPTIONS…] sets `status` (000: no answer) and `answer`. What could not be sent,
# or met a service that is starting, is tried again: the same said twice is fine.
post() {
  local path=$1 body=$2 try
  shift 2
  for try in 1 2 3 4 5; do
    answer=$(curl -sS --max-time 60 -X POST "${headers[@]}" "$@" -d "$body" -w '\n%{http_code}' \
      "$url$path") || true
    status=${answer##*$'\n'}
    answer=${answer%$'\n'*}
    if [[ $status == [1234]* ]]; then return; fi
    sleep "$try"
  done
}

# While the work goes on: a heartbeat each third of the lease. When the lease was lost, or the job is
# to stop, the work is ended.
keep_alive() {
  local lease=$1 work=$2 nap
  trap 'kill "$nap" 2>/dev/null; exit' TERM # or the nap would outlive it
  while true; do
    sleep $((lease_seconds / 3)) &
    nap=$!
    wait "$nap"
    post "/v1/leases/$lease/heartbeat" '{"progress": {"current": 1, "total": 2}}'
    if [[ $status == 409 || $answer == *'"cancelRequested":true'* ]]; then
      say "$lease: to be stopped"
      kill "$work" 2>/dev/null
      return
    fi
  done
}

# The work itself: the input is JSON, the result printed is JSON too.
count_words() {
  local text=$1
  if [[ $text != '"'*'"' ]]; then
    say "the input is no text: $text"
    return 1
  fi
  text=${text:1:${#text}-2}
  text=${text//\\[nrt]/ } # line feeds and tabs, as JSON writes them
  printf '{"words": %d}' "$(wc -w <<<"$text")"
}

do_job() {
  local lease=$1 input=$2 work heart result out
  out=$(mktemp)
  count_words "$input" >"$out" &
  work=$!
  keep_alive "$lease" "$work" &
  heart=$!
  if wait "$work"; then
    result=$(<"$out")
    post "/v1/leases/$lease/complete" "{\"result\": $result}"
  else
    post "/v1/leases/$lease/fail" '{"error": {"code": "no-text", "detail": "The input is no text."}}'
  fi
  kill "$heart" 2>/dev/null || true
  rm -f "$out"
  say "$lease: $status"
}

while true; do
  post /v1/leases "{\"types\": [\"$type\"], \"leaseSeconds\": $lease_seconds}" -H 'Prefer: wait=30'
  if [[ $status != 200 ]]; then
    say "no jobs to be had: $status $answer"
    sleep 5
  # One lease, as no more were asked for: {"leases":[{"id":…,"job":…,"input":…,"attempt":…}]}
  elif [[ $answer =~ \"id\":\"(lse_[0-9a-f]+)\" ]]; then
    lease=${BASH_REMATCH[1]}
    input=${answer##*,\"input\":}
    do_job "$lease" "${input%,\"attempt\":*}"
    if [[ ${1:-} == --once ]]; then exit; fi
  fi
done
