-- When each splayd came and went.
CREATE TABLE splayd_states (
    splayd TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (splayd, at_us)
)
