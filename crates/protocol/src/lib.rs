//! What crosses a process or file boundary: nodes, jobs, node lists, churn, topologies, the session
//! between splayd and controller, its HTTP API, join tokens, log lines.

pub mod api;
pub mod bucket;
pub mod churn;
pub mod errno;
pub mod faults;
pub mod job;
pub mod join;
pub mod limits;
pub mod list;
pub mod log_lines;
pub mod node;
pub mod quantity;
pub mod seed;
pub mod session;
pub mod submission;
pub mod topology;

pub use errno::Errno;
pub use job::{Job, ListType};
pub use join::{JoinToken, JoinTokenError};
pub use limits::Limits;
pub use list::{Among, ListError, Lists, loopback_nodes};
pub use node::Node;
pub use submission::Submission;
