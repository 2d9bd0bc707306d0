-- The server's version, and whether it waits for the disk at each commit.
SELECT current_setting('server_version_num')::integer, current_setting('synchronous_commit')
