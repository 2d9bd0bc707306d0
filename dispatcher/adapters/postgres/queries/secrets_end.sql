-- Let the signing secrets of a caller end at an instant, unless they end sooner.
UPDATE dispatcher.secret SET expires_at = least(expires_at, $2::bigint) WHERE caller_id = $1
