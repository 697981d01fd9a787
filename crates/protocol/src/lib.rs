//! What crosses a process or file boundary: nodes, jobs, node lists, the session between splayd
//! and controller, log lines, topologies.

pub mod job;
pub mod limits;
pub mod list;
pub mod log_lines;
pub mod node;
pub mod seed;
pub mod session;
pub mod submission;
pub mod topology;

pub use job::{Job, ListType};
pub use limits::Limits;
pub use list::{ListError, Lists, loopback_nodes};
pub use node::Node;
pub use submission::Submission;
