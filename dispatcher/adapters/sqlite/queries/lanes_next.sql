-- When something of these types (a JSON array) can be claimed next.
SELECT min((
  SELECT min(lane.ready_at) FROM lane
  WHERE lane.type = wanted.value AND lane.ready_at IS NOT NULL AND lane.paused_at IS NULL
))
FROM json_each(?) AS wanted
