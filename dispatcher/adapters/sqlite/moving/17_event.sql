-- Events. Their places are before those of any transaction: see the adapter's 0004_feed.sql.
SELECT seq, id, caller_id, job_seq, type, sequence, at, links_base, data, 0 AS xid FROM event
WHERE seq > coalesce(:after, 0)
ORDER BY seq
