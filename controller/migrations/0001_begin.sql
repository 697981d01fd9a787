-- The same text for SQLite and PostgreSQL; there BLOB is read as BYTEA. Times are microseconds since
-- 1970, what is only read as a whole is JSON.

CREATE TABLE splayds (
    id TEXT PRIMARY KEY,
    public_key TEXT NOT NULL UNIQUE,
    data TEXT NOT NULL
);

-- Number of the last report of a splayd whose effects are stored.
CREATE TABLE sequences (
    splayd TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL
);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    spec TEXT NOT NULL
);

CREATE TABLE job_states (
    job TEXT PRIMARY KEY,
    data TEXT NOT NULL
);

CREATE TABLE job_hosts (
    job TEXT NOT NULL,
    splayd TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job, splayd)
);

CREATE TABLE job_events (
    job TEXT NOT NULL,
    number BIGINT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job, number)
);

-- Blocks of log lines as splayds sent them.
CREATE TABLE logs (
    job TEXT NOT NULL,
    splayd TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    first_us BIGINT NOT NULL,
    last_us BIGINT NOT NULL,
    line_count BIGINT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (job, splayd, sequence)
);

CREATE TABLE files (
    sha256 TEXT PRIMARY KEY,
    data BLOB NOT NULL
);

CREATE TABLE results (
    job TEXT NOT NULL,
    position BIGINT NOT NULL,
    path TEXT NOT NULL,
    total_bytes BIGINT NOT NULL,
    received_bytes BIGINT NOT NULL,
    PRIMARY KEY (job, position, path)
);

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    created_us BIGINT NOT NULL
);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL
);

CREATE TABLE join_tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    uses BIGINT NOT NULL,
    used BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    revoked BIGINT NOT NULL
);

CREATE TABLE native (
    sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    added_us BIGINT NOT NULL
);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE audit (
    at_us BIGINT NOT NULL,
    id TEXT PRIMARY KEY,
    user_name TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE INDEX audit_at ON audit (at_us)
