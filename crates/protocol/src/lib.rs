//! What crosses a process or file boundary: nodes, jobs, node lists.

pub mod job;
pub mod node;

pub use job::{Job, ListType};
pub use node::Node;
