-- The sizes of jobs' inputs; they are not read for that.
SELECT job_seq, length(body) FROM dispatcher.job_input WHERE job_seq = ANY ($1::bigint[])
