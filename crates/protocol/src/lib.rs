//! What crosses a process or file boundary: nodes, jobs, node lists, churn, the session between
//! splayd and controller, log lines.

pub mod churn;
pub mod job;
pub mod limits;
pub mod list;
pub mod log_lines;
pub mod node;
pub mod seed;
pub mod session;
pub mod submission;

pub use job::{Job, ListType};
pub use limits::Limits;
pub use list::{Among, ListError, Lists, loopback_nodes};
pub use node::Node;
pub use submission::Submission;
