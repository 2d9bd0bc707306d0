-- As `lanes_next`, without the queues (a JSON array) of which as many run as may.
SELECT min((
  SELECT min(lane.ready_at) FROM lane
  WHERE lane.type = wanted.value AND lane.ready_at IS NOT NULL AND lane.paused_at IS NULL
    AND lane.queue NOT IN (SELECT value FROM json_each(:full))
))
FROM json_each(:types) AS wanted
