-- Whether events have places that no transaction of this server has had yet.
SELECT coalesce(
  (SELECT xid FROM dispatcher.event ORDER BY xid DESC, seq DESC LIMIT 1)
    >= pg_snapshot_xmax(pg_current_snapshot()),
  FALSE
)
