//! One instance's Lua state and the running of its threads. The raw Lua API is wrapped in
//! [`stack`]; what is decided without Lua is in [`crate::scheduler`].

mod ctx;
mod libraries;
mod run;
pub mod stack;
mod state;
mod watch;

pub use ctx::{add, Ctx, End, Interest, Outcome, Request, Service, Wait};
pub use libraries::{Module, compile};
pub(crate) use libraries::{load_file, load_source};
pub use run::{Next, name_of, thread_named};
pub use stack::{Kind, NativeError, NativeResult, Return, Stack, State, enter, request_mark};
pub(crate) use state::compile_program;
pub use state::{Instance, keep_api};
pub use watch::{Watch, Watchdog};
