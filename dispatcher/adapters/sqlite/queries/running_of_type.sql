-- How many jobs of a type run, whoever holds them.
SELECT count(*) FROM holder CROSS JOIN job ON job.holder_id = holder.id AND job.type = ?
