//! The splayd and the user of the controller's own tests: they keep to the protocol, and their
//! instances do nothing.

#[path = "../../../../controller/tests/harness/client.rs"]
pub mod client;
#[path = "../../../../controller/tests/harness/identity.rs"]
pub mod identity;
#[path = "../../../../controller/tests/harness/splayd.rs"]
pub mod splayd;
