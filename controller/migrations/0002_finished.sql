-- Jobs that are over: what a list shows of them. Their records stay where they were and are read when
-- they are asked for. removed_us: when their logs and results were removed; 0: they are there.
CREATE TABLE finished_jobs (
    job TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    ended_us BIGINT NOT NULL,
    removed_us BIGINT NOT NULL,
    log_lines BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    summary TEXT NOT NULL
);

CREATE INDEX finished_at ON finished_jobs (ended_us);

-- Pieces of result files, where these are not kept in a folder.
CREATE TABLE result_parts (
    job TEXT NOT NULL,
    position BIGINT NOT NULL,
    path TEXT NOT NULL,
    first_byte BIGINT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (job, position, path, first_byte)
)
