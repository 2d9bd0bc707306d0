#!/bin/sh
# The most frequent words of a text. The input, a JSON string, comes on standard input; the result
# goes to standard output; a line of JSON on standard error tells how far it is.
set -eu

say() { printf '{"progress": {"current": %s, "total": 2, "message": "%s"}}\n' "$1" "$2" >&2; }

say 1 "counting"
counts=$(tr '[:upper:]' '[:lower:]' | tr -cs '[:alpha:]' '\n' | sed '/^$/d' | sort | uniq -c)
if [ -z "$counts" ]; then
  echo "no words in the input of $DISPATCHER_JOB_ID" >&2 # for the log
  exit 65                                                # fails the job; 75 would try it again
fi
say 2 "sorting"
printf '%s\n' "$counts" | sort -k1,1nr -k2 | head -n 5 |
  awk 'BEGIN { printf "[" } { printf "%s{\"word\": \"%s\", \"count\": %d}", sep, $2, $1; sep = ", " } END { print "]" }'
