//! What the command tells its own developers, when the environment variable SPLAY_LOG asks for it
//! (`SPLAY_LOG=debug`, `SPLAY_LOG=splay_runtime=trace`).

use tracing_subscriber::EnvFilter;

/// Starts telling, to standard error. Without SPLAY_LOG nothing is set up and nothing costs.
pub fn start() {
    if std::env::var_os("SPLAY_LOG").is_some() {
        let filter = EnvFilter::from_env("SPLAY_LOG");
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}
