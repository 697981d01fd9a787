//! What crosses a process or file boundary: nodes, jobs, node lists, the session between splayd
//! and controller, join tokens, log lines, churn.

pub mod churn;
pub mod job;
pub mod join;
pub mod limits;
pub mod list;
pub mod log_lines;
pub mod node;
pub mod seed;
pub mod session;
pub mod submission;

pub use job::{Job, ListType};
pub use join::{JoinToken, JoinTokenError};
pub use limits::Limits;
pub use list::{Among, ListError, Lists, loopback_nodes};
pub use node::Node;
pub use submission::Submission;
