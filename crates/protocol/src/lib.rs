//! What crosses a process or file boundary: nodes, jobs, node lists, churn.

pub mod churn;
pub mod job;
pub mod list;
pub mod node;
pub mod seed;

pub use job::{Job, ListType};
pub use list::{Among, ListError, Lists, loopback_nodes};
pub use node::Node;
